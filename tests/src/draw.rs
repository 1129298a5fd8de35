//! Values out of a run of bytes.

/// Draws values from bytes in order; where they have run out, all is zero. So every run of bytes
/// is an input, and a shorter one is a simpler one.
#[derive(Clone, Debug)]
pub struct Draw<'a> {
    bytes: &'a [u8],
}

impl<'a> Draw<'a> {
    /// Draws from `bytes`.
    #[must_use]
    pub const fn new(bytes: &'a [u8]) -> Self {
        Self { bytes }
    }

    /// Nothing is left.
    #[must_use]
    pub const fn is_empty(&self) -> bool {
        self.bytes.is_empty()
    }

    /// The next byte.
    pub fn byte(&mut self) -> u8 {
        let Some((&first, rest)) = self.bytes.split_first() else { return 0 };
        self.bytes = rest;
        first
    }

    /// The next bit, for the price of a byte.
    pub fn flag(&mut self) -> bool {
        self.byte() & 1 == 1
    }

    /// The next eight bytes, little-endian.
    pub fn word(&mut self) -> u64 {
        u64::from_le_bytes(self.words_of_bytes())
    }

    /// The next `N` words.
    pub fn words<const N: usize>(&mut self) -> [u64; N] {
        std::array::from_fn(|_| self.word())
    }

    /// One of `of`, which is not empty.
    pub fn pick<T: Copy>(&mut self, of: &[T]) -> T {
        of[usize::from(self.byte()) % of.len()]
    }

    /// `word`, with one bit turned over once in sixty-four times.
    pub fn disturbed(&mut self, word: u64) -> u64 {
        match self.byte() {
            4.. => word,
            _ => word ^ 1 << (self.byte() & 63),
        }
    }

    fn words_of_bytes(&mut self) -> [u8; 8] {
        std::array::from_fn(|_| self.byte())
    }
}
