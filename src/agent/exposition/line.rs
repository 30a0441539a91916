//! One line of a Prometheus page: whether it is a series of the metric that is looked for, and its value.

use std::borrow::Cow;

use crate::api::v1alpha1::Metric;

/// What a line is.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) enum Series {
    /// Of another name, or with other labels.
    Another,
    /// One that counts, with its value.
    Ours(f64),
    /// It may be ours, and cannot be read.
    Unreadable,
}

/// Reads a line that is neither empty nor a comment.
pub(super) fn series(line: &str, metric: &Metric) -> Series {
    read(line.trim(), metric).unwrap_or(Series::Unreadable)
}

fn read(line: &str, metric: &Metric) -> Option<Series> {
    let end = line
        .find(|c: char| c == '{' || c.is_ascii_whitespace())
        .unwrap_or(line.len());
    let (bare, rest) = line.split_at(end);
    if !bare.is_empty() && bare != metric.name {
        return Some(Series::Another);
    }
    let mut labels = Labels::new(metric, !bare.is_empty());
    let mut rest = rest.trim_start();
    if let Some(inside) = rest.strip_prefix('{') {
        rest = labels.read(inside)?;
    }
    if !labels.is_named || !labels.are_all() {
        // A name in quotes that never came is no series at all.
        return labels.has_name.then_some(Series::Another);
    }
    // A timestamp and an exemplar may follow.
    let value = rest.split_ascii_whitespace().next()?;
    value.parse().ok().map(Series::Ours)
}

/// The labels of a series, compared with those that are asked for.
struct Labels<'a> {
    metric: &'a Metric,
    /// The series has a name.
    has_name: bool,
    /// And it is the one that is looked for.
    is_named: bool,
    /// The labels asked for that were met, a bit each.
    met: u64,
    /// One of them has another value.
    differs: bool,
}

impl<'a> Labels<'a> {
    fn new(metric: &'a Metric, is_named: bool) -> Self {
        Self {
            metric,
            has_name: is_named,
            is_named,
            met: 0,
            differs: false,
        }
    }

    /// Reads up to the closing brace; what follows it is left.
    fn read<'b>(&mut self, inside: &'b str) -> Option<&'b str> {
        let mut rest = inside.trim_start();
        loop {
            if let Some(after) = rest.strip_prefix('}') {
                return Some(after);
            }
            let is_quoted = rest.starts_with('"');
            let (key, after) = if is_quoted {
                quoted(rest)?
            } else {
                word(rest)?
            };
            let after = after.trim_start();
            rest = match after.strip_prefix('=') {
                Some(after) => {
                    let (value, after) = quoted(after.trim_start())?;
                    self.meet(&key, &value)?;
                    after
                }
                None if is_quoted && !self.has_name => {
                    self.has_name = true;
                    self.is_named = key == self.metric.name;
                    after
                }
                None => return None,
            };
            rest = rest.trim_start();
            rest = match rest.strip_prefix(',') {
                Some(after) => after.trim_start(),
                None if rest.starts_with('}') => rest,
                None => return None,
            };
        }
    }

    /// `None` where a label comes twice.
    fn meet(&mut self, key: &str, value: &str) -> Option<()> {
        let mut wanted = self.metric.labels.iter().enumerate();
        if let Some((at, (_, wanted))) = wanted.find(|(_, (wanted, _))| *wanted == key) {
            let bit = 1_u64.checked_shl(u32::try_from(at).ok()?)?;
            self.differs |= wanted != value;
            if self.met & bit != 0 {
                return None;
            }
            self.met |= bit;
        }
        Some(())
    }

    /// Every label asked for is there; an empty one is as good as none, as everywhere in Prometheus.
    fn are_all(&self) -> bool {
        let mut wanted = self.metric.labels.values().enumerate();
        !self.differs
            && wanted.all(|(at, value)| {
                value.is_empty() || self.met.checked_shr(at_bit(at)).unwrap_or(0) & 1 == 1
            })
    }
}

fn at_bit(at: usize) -> u32 {
    u32::try_from(at).unwrap_or(u32::MAX)
}

/// The name of a label, up to what ends it.
fn word(text: &str) -> Option<(Cow<'_, str>, &str)> {
    let end = text.find(|c: char| !(c.is_ascii_alphanumeric() || c == '_' || c == ':'))?;
    let (word, rest) = text.split_at(end);
    (!word.is_empty()).then_some((word.into(), rest))
}

/// A text in quotes, without them, and what follows.
fn quoted(text: &str) -> Option<(Cow<'_, str>, &str)> {
    let inside = text.strip_prefix('"')?;
    let end = inside.find(['"', '\\'])?;
    let (plain, rest) = inside.split_at(end);
    if let Some(rest) = rest.strip_prefix('"') {
        return Some((plain.into(), rest));
    }
    let mut value = String::from(plain);
    let mut chars = rest.chars();
    loop {
        match chars.next()? {
            '"' => return Some((value.into(), chars.as_str())),
            '\\' => value.push(match chars.next()? {
                'n' => '\n',
                other => other,
            }),
            other => value.push(other),
        }
    }
}
