//! Where an input is cut off, and in which pieces it comes: chosen by its own bytes, so that the same input
//! always meets the same cuts.

/// The most cuts of one input: all of a short one, some of a long one.
const MOST: usize = 16;

/// Lengths below the whole, the shortest first.
pub(crate) fn lengths(of: usize) -> impl Iterator<Item = usize> {
    (0..of).step_by(of.div_ceil(MOST).max(1))
}

/// The input in pieces of one length.
pub(crate) fn pieces(data: &[u8], length: u8) -> impl Iterator<Item = &[u8]> {
    data.chunks(usize::from(length) + 1)
}

/// Numbers from the beginning of an input, then zeros.
pub(crate) struct Numbers<'a>(pub(crate) &'a [u8]);

impl Numbers<'_> {
    pub(crate) fn bytes<const N: usize>(&mut self) -> [u8; N] {
        let mut taken = [0; N];
        let (head, rest) = self.0.split_at(N.min(self.0.len()));
        for (to, from) in taken.iter_mut().zip(head) {
            *to = *from;
        }
        self.0 = rest;
        taken
    }

    pub(crate) fn u8(&mut self) -> u8 {
        let [byte] = self.bytes();
        byte
    }

    pub(crate) fn u16(&mut self) -> u16 {
        u16::from_le_bytes(self.bytes())
    }

    pub(crate) fn u32(&mut self) -> u32 {
        u32::from_le_bytes(self.bytes())
    }
}
