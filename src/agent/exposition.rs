//! The page of a `metric` confirmation: Prometheus' text format and OpenMetrics, read line by line as it
//! comes in, in constant memory. Pure. What cannot be read is never taken for 0, and nothing of the page
//! is kept or shown.

mod line;

use self::line::{Series, series};
use super::question::Why;
use crate::api::v1alpha1::Metric;

/// A line is read up to this length: many labels, not a page in one line. The same for one that comes at once,
/// so that a page means the same in any pieces.
const LINE: usize = 8192;

/// How the end of a page is known.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum End {
    /// By what HTTP says of its length.
    Length,
    /// By `# EOF`: it says that it is OpenMetrics.
    Marker,
    /// By nothing but the end of the connection, which would be the same if it was cut off.
    Silence,
}

/// A page on its way.
#[derive(Debug)]
pub struct Page<'a> {
    metric: &'a Metric,
    /// The beginning of a line whose end has not come yet.
    line: Vec<u8>,
    /// The rest of the line is of no interest, or too long.
    is_skipping: bool,
    sum: f64,
    series: u64,
    /// What is wrong with it.
    wrong: Option<Why>,
    /// `# EOF` was seen: the end of a page of OpenMetrics.
    has_end: bool,
}

impl<'a> Page<'a> {
    /// A page on which this metric is looked for.
    #[must_use]
    pub fn new(metric: &'a Metric) -> Self {
        Self {
            metric,
            line: Vec::new(),
            is_skipping: false,
            sum: 0.0,
            series: 0,
            wrong: None,
            has_end: false,
        }
    }

    /// Takes in the next piece.
    pub fn push(&mut self, mut piece: &[u8]) {
        while let Some(at) = piece.iter().position(|byte| *byte == b'\n') {
            let (head, rest) = piece.split_at(at);
            piece = rest.get(1..).unwrap_or_default();
            if self.line.is_empty() && !self.is_skipping && head.len() <= LINE {
                self.read(head);
            } else {
                self.keep(head);
                self.end_line();
            }
        }
        self.keep(piece);
    }

    /// The sum of the series, once the page has ended.
    ///
    /// # Errors
    /// Why there is no such sum.
    pub fn sum(mut self, end: End) -> Result<f64, Why> {
        let is_within_line = !self.line.is_empty() || self.is_skipping;
        self.end_line();
        let is_whole = match end {
            End::Length => true,
            End::Marker => self.has_end,
            // `jobs 1` may have been `jobs 12`.
            End::Silence => !is_within_line,
        };
        match self.wrong {
            Some(why) => Err(why),
            None if !is_whole => Err(Why::CutOff),
            None if self.series == 0 => Err(Why::Missing),
            None if self.sum.is_nan() => Err(Why::NotANumber),
            None => Ok(self.sum),
        }
    }

    fn keep(&mut self, piece: &[u8]) {
        if self.is_skipping {
            return;
        }
        if self.line.len() + piece.len() <= LINE {
            self.line.extend_from_slice(piece);
            return;
        }
        // Enough of it is there to tell whose it is.
        let room = LINE.saturating_sub(self.line.len());
        self.line.extend(piece.iter().take(room));
        if self.may_be_ours(&self.line) {
            self.wrong = Some(Why::Unreadable);
        }
        self.line.clear();
        self.is_skipping = true;
    }

    fn end_line(&mut self) {
        let mut line = std::mem::take(&mut self.line);
        if !self.is_skipping {
            self.read(&line);
        }
        line.clear();
        self.line = line;
        self.is_skipping = false;
    }

    /// Most lines are somebody else's: told by their first bytes.
    fn may_be_ours(&self, line: &[u8]) -> bool {
        let line = line.trim_ascii_start();
        // A name beyond Prometheus' old alphabet stands in quotes within the braces.
        line.starts_with(b"{") || line.starts_with(self.metric.name.as_bytes())
    }

    fn read(&mut self, line: &[u8]) {
        if line.trim_ascii_end() == b"# EOF" {
            self.has_end = true;
        }
        if !self.may_be_ours(line) {
            return;
        }
        match std::str::from_utf8(line).map_or(Series::Unreadable, |line| series(line, self.metric))
        {
            Series::Another => {}
            Series::Ours(value) => {
                self.sum += value;
                self.series += 1;
            }
            Series::Unreadable => self.wrong = Some(Why::Unreadable),
        }
    }
}

#[cfg(test)]
mod tests;
