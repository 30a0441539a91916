//! The offline tests.

#[cfg(test)]
mod inject;
#[cfg(test)]
mod rollout;
