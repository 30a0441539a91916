//! What goes wrong, said on standard error once: a fault that lasts must not fill the node's disk.

use std::error::Error;

use super::chain;

/// One thing that can go wrong again and again.
#[derive(Debug, Default)]
pub struct Trouble {
    said: Option<String>,
}

impl Trouble {
    /// Says an error, unless it is the one of the last time. `true` where there is none.
    pub fn is_over<T, E: Error>(&mut self, doing: &str, result: Result<T, E>) -> bool {
        let error = result.err().map(|error| chain(&error));
        if let Some(text) = &error
            && self.said != error
        {
            eprintln!("{doing}, will be tried again: {text}");
        }
        self.said = error;
        self.said.is_none()
    }
}
