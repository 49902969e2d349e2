//! The keys and values of one sequence, as IEEE halves.

use super::config::Config;
use super::kernels::{HeadCache, KEY_BLOCK};
use super::math::{RopeTable, f32_to_half};

/// Room for a fixed number of positions, taken at once so that a limit can be kept.
#[derive(Debug)]
pub(crate) struct KvCache {
    /// `[layer][head][block of 16 positions][dimension][16]`.
    keys: Vec<u16>,
    /// `[layer][head][position][dimension]`.
    values: Vec<u16>,
    heads: usize,
    dimension: usize,
    capacity: usize,
    length: usize,
}

/// One head of one layer, to be written.
#[derive(Debug)]
pub(crate) struct HeadCacheMut<'a> {
    keys: &'a mut [u16],
    values: &'a mut [u16],
    dimension: usize,
}

impl KvCache {
    /// Room for at least `positions` positions, none of them filled.
    pub(crate) fn new(config: &Config, positions: usize) -> Self {
        let capacity = positions.next_multiple_of(KEY_BLOCK);
        let entries = config.layers * config.kv_heads * capacity * config.head_dimension;
        Self {
            keys: vec![0; entries],
            values: vec![0; entries],
            heads: config.kv_heads,
            dimension: config.head_dimension,
            capacity,
            length: 0,
        }
    }

    /// Bytes that room for `positions` positions takes.
    pub(crate) fn size_bytes(config: &Config, positions: usize) -> u64 {
        let entries = config.layers * config.kv_heads * config.head_dimension;
        let capacity = positions.next_multiple_of(KEY_BLOCK);
        2 * 2 * entries as u64 * capacity as u64
    }

    /// Bytes it takes.
    pub(crate) fn allocated_bytes(&self) -> u64 {
        2 * (self.keys.len() + self.values.len()) as u64
    }

    /// Positions filled.
    pub(crate) fn length(&self) -> usize {
        self.length
    }

    /// Positions there is room for.
    pub(crate) fn capacity(&self) -> usize {
        self.capacity
    }

    /// Counts `positions` more as filled.
    pub(crate) fn advance(&mut self, positions: usize) {
        self.length += positions;
        assert!(self.length <= self.capacity, "a sequence outgrew its cache");
    }

    /// The heads of one layer, to be written.
    pub(crate) fn layer_mut(&mut self, layer: usize) -> impl Iterator<Item = HeadCacheMut<'_>> {
        let head = self.capacity * self.dimension;
        let layer = layer * self.heads * head..(layer + 1) * self.heads * head;
        let keys = self.keys[layer.clone()].chunks_exact_mut(head);
        let values = self.values[layer].chunks_exact_mut(head);
        let dimension = self.dimension;
        keys.zip(values).map(move |(keys, values)| HeadCacheMut { keys, values, dimension })
    }

    /// One head of one layer, of which the first `positions` are seen.
    pub(crate) fn head(&self, layer: usize, head: usize, positions: usize) -> HeadCache<'_> {
        let size = self.capacity * self.dimension;
        let start = (layer * self.heads + head) * size;
        HeadCache {
            keys: &self.keys[start..start + size],
            values: &self.values[start..start + size],
            dimension: self.dimension,
            positions,
        }
    }
}

impl HeadCacheMut<'_> {
    /// Rotates a key to its position, rounds it and the value to halves, and stores both.
    pub(crate) fn put(
        &mut self,
        rope: &RopeTable,
        position: usize,
        key: &mut [f32],
        value: &[f32],
    ) {
        rope.rotate(position, key);
        let block = position / KEY_BLOCK * KEY_BLOCK * self.dimension;
        let lanes = self.keys[block..][..KEY_BLOCK * self.dimension].as_chunks_mut::<KEY_BLOCK>();
        for (lanes, key) in lanes.0.iter_mut().zip(key) {
            lanes[position % KEY_BLOCK] = f32_to_half(*key);
        }
        let values = &mut self.values[position * self.dimension..][..self.dimension];
        for (out, value) in values.iter_mut().zip(value) {
            *out = f32_to_half(*value);
        }
    }
}
