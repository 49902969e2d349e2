//! Weights, repacked once at load into the order in which the kernels read them.
//!
//! ```text
//! Q4_1: for each 8 rows, for each block of 32 columns, one record of 160 bytes
//!       4 x 32 B  nibbles: byte j*32 + r*4 + i = column 4j+i (low), 16+4j+i (high) of row r
//!       8 x f16   scales, 8 x f16 minima, one a row
//! Q8_0: the same records without growth, in two arrays (so that loads stay aligned)
//!       8 x 32 B  byte j*32 + r*4 + i = column 4j+i of row r       and       8 x f16 scales
//! ```
//! So one vector lane is one row, and nothing is ever summed across lanes. All records lie in one
//! anonymous mapping for which huge pages are asked: decoding streams it from end to end.

use memmap2::{Advice, MmapMut};

use super::config::{Config, unsupported};
use super::math::half_to_f32;
use crate::{Error, Gguf, TensorKind, TensorView};

/// Rows of one record.
pub(crate) const ROWS: usize = 8;
/// Columns of one quantisation block.
pub(crate) const BLOCK: usize = 32;
pub(crate) const Q4_RECORD: usize = 160;
pub(crate) const Q8_RECORD: usize = 256;
pub(crate) const Q8_SCALES: usize = 16;
const Q4_SOURCE: usize = 20;
const Q8_SOURCE: usize = 34;

/// How a matrix is packed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Packing {
    Q4,
    Q8,
}

/// A packed matrix: where its records lie in the arena.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Matrix {
    pub(crate) rows: usize,
    pub(crate) columns: usize,
    packing: Packing,
    offset_bytes: usize,
}

/// A packed matrix with its records.
#[derive(Debug, Clone, Copy)]
pub(crate) struct MatrixView<'a> {
    /// Blocks of 32 columns of one row.
    pub(crate) blocks: usize,
    pub(crate) records: Records<'a>,
}

/// Records in the order (8 rows, block).
#[derive(Debug, Clone, Copy)]
pub(crate) enum Records<'a> {
    Q4(&'a [[u8; Q4_RECORD]]),
    Q8 { weights: &'a [[u8; Q8_RECORD]], scales: &'a [[u8; Q8_SCALES]] },
}

/// The weights of one transformer block.
#[derive(Debug)]
pub(crate) struct Layer {
    pub(crate) attention_norm: Vec<f32>,
    /// Rows of queries, keys and values, in this order.
    pub(crate) query_key_value: Matrix,
    pub(crate) output: Matrix,
    pub(crate) feed_forward_norm: Vec<f32>,
    /// Eight rows of the gate, then eight rows of up, and so on.
    pub(crate) gate_up: Matrix,
    pub(crate) down: Matrix,
}

/// All weights of a model.
#[derive(Debug)]
pub(crate) struct Weights {
    pub(crate) layers: Vec<Layer>,
    pub(crate) final_norm: Vec<f32>,
    pub(crate) embedding: Matrix,
    pub(crate) head: Matrix,
    arena: MmapMut,
}

impl Weights {
    /// Packs the tensors of `gguf`; tenths of a second for 100 MB.
    ///
    /// # Errors
    /// [`Error::Gguf`] where a tensor is absent; [`Error::Unsupported`] where one has another kind
    /// or shape than the model's extents say.
    pub(crate) fn load(gguf: &Gguf, config: &Config) -> Result<Self, Error> {
        let mut packer = Packer { gguf, plan: Vec::new(), size_bytes: 0 };
        let layers = (0..config.layers)
            .map(|layer| packer.layer(layer, config))
            .collect::<Result<Vec<_>, _>>()?;
        let vocabulary = (config.vocabulary, config.width);
        let embedding = packer.matrix(&["token_embd.weight"], &[vocabulary], Order::Stacked)?;
        let head = match gguf.tensor("output.weight") {
            Ok(_) => packer.matrix(&["output.weight"], &[vocabulary], Order::Stacked)?,
            Err(_) => embedding, // tied
        };
        let final_norm = packer.vector("output_norm.weight", config.width)?;
        let arena = packer.pack()?;
        Ok(Self { layers, final_norm, embedding, head, arena })
    }

    /// A matrix with its records.
    pub(crate) fn view(&self, matrix: &Matrix) -> MatrixView<'_> {
        let bytes = &self.arena[matrix.offset_bytes..][..matrix.size_bytes()];
        let records = match matrix.packing {
            Packing::Q4 => Records::Q4(bytes.as_chunks().0),
            Packing::Q8 => {
                let (weights, scales) = bytes.split_at(matrix.rows * matrix.columns);
                Records::Q8 { weights: weights.as_chunks().0, scales: scales.as_chunks().0 }
            }
        };
        MatrixView { blocks: matrix.columns / BLOCK, records }
    }

    /// Dequantises one row, as for the embedding of a token: `scale*w + minimum`, `scale*w`.
    pub(crate) fn row(&self, matrix: &Matrix, row: usize, out: &mut [f32]) {
        let view = self.view(matrix);
        let (group, r) = (row / ROWS, row % ROWS);
        for (block, out) in out.as_chunks_mut::<BLOCK>().0.iter_mut().enumerate() {
            let index = group * view.blocks + block;
            match view.records {
                Records::Q4(records) => {
                    let record = &records[index];
                    let scale = half_at(record, 128 + 2 * r);
                    let minimum = half_at(record, 144 + 2 * r);
                    for (column, out) in out.iter_mut().enumerate() {
                        let byte = record[column % 16 / 4 * 32 + r * 4 + column % 4];
                        let nibble = if column < 16 { byte & 15 } else { byte >> 4 };
                        *out = scale * f32::from(nibble) + minimum;
                    }
                }
                Records::Q8 { weights, scales } => {
                    let scale = half_at(&scales[index], 2 * r);
                    for (column, out) in out.iter_mut().enumerate() {
                        let weight = weights[index][column / 4 * 32 + r * 4 + column % 4];
                        *out = scale * f32::from(weight.cast_signed());
                    }
                }
            }
        }
    }
}

impl Matrix {
    fn size_bytes(&self) -> usize {
        let records = self.rows / ROWS * (self.columns / BLOCK);
        match self.packing {
            Packing::Q4 => records * Q4_RECORD,
            Packing::Q8 => records * (Q8_RECORD + Q8_SCALES),
        }
    }
}

/// The half at a byte offset, widened.
#[inline(always)]
pub(crate) fn half_at(bytes: &[u8], offset: usize) -> f32 {
    half_to_f32(u16::from_le_bytes([bytes[offset], bytes[offset + 1]]))
}

/// How several tensors become one matrix.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Order {
    /// One below the other.
    Stacked,
    /// Eight rows of each in turn.
    Interleaved,
}

/// Lays matrices out one after the other, then packs them all.
struct Packer<'a> {
    gguf: &'a Gguf,
    plan: Vec<(Matrix, Vec<TensorView<'a>>, Order)>,
    size_bytes: usize,
}

impl<'a> Packer<'a> {
    fn layer(&mut self, layer: usize, config: &Config) -> Result<Layer, Error> {
        let name = |part: &str| format!("blk.{layer}.{part}.weight");
        let (width, inner) = (config.width, config.feed_forward);
        let queries = config.heads * config.head_dimension;
        let keys = config.kv_heads * config.head_dimension;
        Ok(Layer {
            attention_norm: self.vector(&name("attn_norm"), width)?,
            query_key_value: self.matrix(
                &[&name("attn_q"), &name("attn_k"), &name("attn_v")],
                &[(queries, width), (keys, width), (keys, width)],
                Order::Stacked,
            )?,
            output: self.matrix(&[&name("attn_output")], &[(width, queries)], Order::Stacked)?,
            feed_forward_norm: self.vector(&name("ffn_norm"), width)?,
            gate_up: self.matrix(
                &[&name("ffn_gate"), &name("ffn_up")],
                &[(inner, width), (inner, width)],
                Order::Interleaved,
            )?,
            down: self.matrix(&[&name("ffn_down")], &[(width, inner)], Order::Stacked)?,
        })
    }

    fn vector(&self, name: &str, length: usize) -> Result<Vec<f32>, Error> {
        let tensor = self.gguf.tensor(name)?;
        if tensor.kind != TensorKind::F32 || tensor.shape != [length as u64] {
            return Err(self.refuse(&tensor, &format!("F32 of [{length}]")));
        }
        Ok(tensor.bytes.as_chunks().0.iter().map(|bytes| f32::from_le_bytes(*bytes)).collect())
    }

    fn matrix(
        &mut self,
        names: &[&str],
        shapes: &[(usize, usize)],
        order: Order,
    ) -> Result<Matrix, Error> {
        let tensors =
            names.iter().map(|name| self.gguf.tensor(name)).collect::<Result<Vec<_>, _>>()?;
        let packing = match tensors[0].kind {
            TensorKind::Q4_1 => Packing::Q4,
            TensorKind::Q8_0 => Packing::Q8,
            _ => return Err(self.refuse(&tensors[0], "Q4_1 or Q8_0")),
        };
        for (tensor, &(rows, columns)) in tensors.iter().zip(shapes) {
            if tensor.shape != [columns as u64, rows as u64] || rows % ROWS != 0 {
                return Err(self.refuse(tensor, &format!("[{columns}, {rows}]")));
            }
            if tensor.kind != tensors[0].kind {
                return Err(self.refuse(tensor, &format!("of the same kind as {}", names[0])));
            }
        }
        let matrix = Matrix {
            rows: shapes.iter().map(|(rows, _)| rows).sum(),
            columns: shapes[0].1,
            packing,
            offset_bytes: self.size_bytes,
        };
        // Cache lines do not straddle matrices.
        self.size_bytes = (self.size_bytes + matrix.size_bytes()).next_multiple_of(64);
        self.plan.push((matrix, tensors, order));
        Ok(matrix)
    }

    fn refuse(&self, tensor: &TensorView<'_>, wanted: &str) -> Error {
        let TensorView { name, kind, shape, .. } = tensor;
        let detail = format!("tensor {name} is {kind:?} of {shape:?}, not {wanted}");
        unsupported(self.gguf, detail)
    }

    fn pack(self) -> Result<MmapMut, Error> {
        let io = |source| Error::Io { path: self.gguf.path().to_owned(), source };
        let mut arena = MmapMut::map_anon(self.size_bytes).map_err(io)?;
        #[cfg(target_os = "linux")]
        if let Err(error) = arena.advise(Advice::HugePage) {
            tracing::debug!(%error, "no huge pages for the weights; decoding is a little slower");
        }
        for (matrix, tensors, order) in &self.plan {
            let bytes = &mut arena[matrix.offset_bytes..][..matrix.size_bytes()];
            match matrix.packing {
                Packing::Q4 => {
                    pack_q4(matrix, &row_groups(matrix, tensors, *order, Q4_SOURCE), bytes)
                }
                Packing::Q8 => {
                    pack_q8(matrix, &row_groups(matrix, tensors, *order, Q8_SOURCE), bytes)
                }
            }
        }
        Ok(arena)
    }
}

/// The source bytes of each eight rows, in the order in which they are packed.
fn row_groups<'a>(
    matrix: &Matrix,
    tensors: &[TensorView<'a>],
    order: Order,
    block_bytes: usize,
) -> Vec<&'a [u8]> {
    let group_bytes = ROWS * (matrix.columns / BLOCK) * block_bytes;
    let groups = tensors.iter().map(|tensor| tensor.bytes.chunks_exact(group_bytes));
    match order {
        Order::Stacked => groups.flatten().collect(),
        Order::Interleaved => {
            let mut groups: Vec<_> = groups.collect();
            let mut turn = 0;
            std::iter::from_fn(|| {
                turn += 1;
                let count = groups.len();
                groups[(turn - 1) % count].next()
            })
            .collect()
        }
    }
}

/// Source block: f16 scale, f16 minimum, 16 bytes whose low nibbles are columns 0..16.
fn pack_q4(matrix: &Matrix, groups: &[&[u8]], out: &mut [u8]) {
    let blocks = matrix.columns / BLOCK;
    for (index, record) in out.as_chunks_mut::<Q4_RECORD>().0.iter_mut().enumerate() {
        let source = groups[index / blocks].as_chunks::<Q4_SOURCE>().0;
        for r in 0..ROWS {
            let source = &source[r * blocks + index % blocks];
            record[128 + 2 * r..][..2].copy_from_slice(&source[..2]);
            record[144 + 2 * r..][..2].copy_from_slice(&source[2..4]);
            for j in 0..4 {
                record[j * 32 + r * 4..][..4].copy_from_slice(&source[4 + 4 * j..][..4]);
            }
        }
    }
}

/// Source block: f16 scale, 32 signed bytes.
fn pack_q8(matrix: &Matrix, groups: &[&[u8]], out: &mut [u8]) {
    let blocks = matrix.columns / BLOCK;
    let (weights, scales) = out.split_at_mut(matrix.rows * matrix.columns);
    let weights = weights.as_chunks_mut::<Q8_RECORD>().0.iter_mut();
    let scales = scales.as_chunks_mut::<Q8_SCALES>().0.iter_mut();
    for (index, (weights, scales)) in weights.zip(scales).enumerate() {
        let source = groups[index / blocks].as_chunks::<Q8_SOURCE>().0;
        for r in 0..ROWS {
            let source = &source[r * blocks + index % blocks];
            scales[2 * r..][..2].copy_from_slice(&source[..2]);
            for j in 0..8 {
                weights[j * 32 + r * 4..][..4].copy_from_slice(&source[2 + 4 * j..][..4]);
            }
        }
    }
}
