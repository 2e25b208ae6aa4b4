//! One frame with its nerve.

/// One crop with its truth.
#[derive(Debug, Clone, PartialEq)]
pub struct Frame {
    /// `S_N`
    pub name: String,
    /// S
    pub patient: u32,
    /// Row by row, full range 0..255.
    pub luma: Box<[u8]>,
    /// 1 where the nerve is, else 0; same shape.
    pub nerve: Box<[u8]>,
}

impl Frame {
    /// Whether any pixel is nerve.
    pub fn has_nerve(&self) -> bool {
        self.nerve.contains(&1)
    }
}
