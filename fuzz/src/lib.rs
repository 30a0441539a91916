//! What holds of the agent's parsers for any bytes, one property function a parser: it panics where it does
//! not hold. The fuzz targets look for such bytes; an offline test puts every input of the corpus to the same
//! functions. Nothing here opens a file or a socket.

pub mod annotation;
pub mod answer;
mod cuts;
pub mod exposition;
pub mod proc_net;
pub mod records;
pub mod sock_diag;

/// A property of one parser.
pub type Property = fn(&[u8]);

/// Every parser that is fuzzed, by the name of its target and of its folder in the corpus.
pub const TARGETS: [(&str, Property); 6] = [
    ("sock_diag", sock_diag::hold),
    ("proc_net", proc_net::hold),
    ("exposition", exposition::hold),
    ("annotation", annotation::hold),
    ("records", records::hold),
    ("answer", answer::hold),
];
