//! Labelled vectors, row by row.

use crate::{Error, Result, search::normalise};

/// Examples of one length of vector; vectors have length one.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Examples {
    dimensions: usize,
    vectors: Vec<f32>,
    labels: Vec<u32>,
}

impl Examples {
    /// No examples yet, of vectors of this length.
    #[must_use]
    pub fn new(dimensions: usize) -> Self {
        Self { dimensions, ..Self::default() }
    }

    /// Adds one; its vector is scaled to length one.
    ///
    /// # Errors
    /// [`Error::Malformed`] if the vector is of another length or has no direction.
    pub fn push(&mut self, vector: &[f32], label: u32) -> Result<()> {
        if vector.len() != self.dimensions {
            let why = format!("{} numbers, expected {}", vector.len(), self.dimensions);
            return Err(Error::malformed("embedding", why));
        }
        let mut vector = vector.to_vec();
        normalise(&mut vector)?;
        self.vectors.extend_from_slice(&vector);
        self.labels.push(label);
        Ok(())
    }

    /// How many there are.
    #[must_use]
    pub fn len(&self) -> usize {
        self.labels.len()
    }

    /// Whether there are none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.labels.is_empty()
    }

    /// The vectors' length.
    #[must_use]
    pub fn dimensions(&self) -> usize {
        self.dimensions
    }

    /// The labels, in order.
    #[must_use]
    pub fn labels(&self) -> &[u32] {
        &self.labels
    }

    /// One vector.
    ///
    /// # Panics
    /// If there is no such example.
    #[must_use]
    pub fn vector(&self, index: usize) -> &[f32] {
        &self.vectors[index * self.dimensions..(index + 1) * self.dimensions]
    }

    /// Only those examples, in this order.
    #[must_use]
    pub fn select(&self, indexes: &[usize]) -> Self {
        let mut chosen = Self::new(self.dimensions);
        for index in indexes {
            chosen.vectors.extend_from_slice(self.vector(*index));
            chosen.labels.push(self.labels[*index]);
        }
        chosen
    }
}
