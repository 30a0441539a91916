//! What the test wrote down: for each expression of the dashboards its series, with a value or none at each step.

use std::collections::BTreeMap;

use serde::Deserialize;

/// All of it.
#[derive(Debug, Deserialize)]
pub(super) struct Recording {
    /// Seconds since the epoch.
    pub(super) from: i64,
    pub(super) to: i64,
    pub(super) step: i64,
    series: BTreeMap<String, Vec<Series>>,
}

/// One line, or the one value of an instant.
#[derive(Debug, Deserialize)]
pub(super) struct Series {
    pub(super) labels: BTreeMap<String, String>,
    pub(super) values: Vec<Option<f64>>,
}

impl Recording {
    /// The series of an expression; none where it was not asked.
    pub(super) fn of(&self, expression: &str) -> Option<&[Series]> {
        self.series.get(expression).map(Vec::as_slice)
    }
}

impl Series {
    /// What Grafana writes for `{{label}}` in a legend.
    pub(super) fn named(&self, legend: &str) -> String {
        let mut name = String::new();
        let mut rest = legend;
        while let Some((before, after)) = rest.split_once("{{") {
            let (label, after) = after.split_once("}}").unwrap_or((after, ""));
            name.push_str(before);
            name.push_str(self.labels.get(label.trim()).map_or("", String::as_str));
            rest = after;
        }
        name + rest
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn legend_has_the_labels() {
        let series = Series {
            labels: [("verb", "patch"), ("kind", "Pod")]
                .map(|(name, value)| (name.to_owned(), value.to_owned()))
                .into(),
            values: vec![],
        };
        assert_eq!(series.named("{{verb}} {{ kind }}, {{none}}"), "patch Pod, ");
    }
}
