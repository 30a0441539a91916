//! The page of a `metric` confirmation. What cannot be read, is absent or was cut off is never a sum; in which
//! pieces a page comes does not matter; and what the agent itself shows is read as it was written.

use graceful::agent::exposition::{End, Page};
use graceful::agent::question::Why;
use graceful::agent::view::{Requests, View, metrics};
use graceful::api::v1alpha1::Metric;

use super::cuts::{Numbers, lengths, pieces};

const NAME: &str = "jobs";

/// How the end of a page may be known.
const ENDS: [End; 3] = [End::Length, End::Marker, End::Silence];

/// Holds for any page: how it is read stands in the first two bytes.
pub fn hold(data: &[u8]) {
    let mut numbers = Numbers(data);
    let (how, length) = (numbers.u8(), numbers.u8());
    let page = numbers.0;
    let labels: &[(&str, &str)] = match how % 4 {
        0 => &[("queue", "mail")],
        1 => &[("queue", "")],
        _ => &[],
    };
    let metric = metric(NAME, labels);
    for end in ENDS {
        let whole = sum(&metric, [page], end);
        let parts = sum(&metric, pieces(page, length), end);
        assert_eq!(parts, whole, "pieces matter");
        sum_holds(page, end, whole);
        what_follows_holds(&metric, page, end, whole);
    }
    cuts_hold(&metric, page);
    own_page_holds(data);
}

pub(crate) fn metric(name: &str, labels: &[(&str, &str)]) -> Metric {
    let label = |(key, value): &(&str, &str)| ((*key).to_owned(), (*value).to_owned());
    Metric {
        port: 9000,
        path: "/metrics".into(),
        name: name.into(),
        labels: labels.iter().map(label).collect(),
        at_most: 0,
    }
}

fn sum<'a>(
    metric: &Metric,
    parts: impl IntoIterator<Item = &'a [u8]>,
    end: End,
) -> Result<f64, Why> {
    let mut page = Page::new(metric);
    for part in parts {
        page.push(part);
    }
    page.sum(end)
}

fn has(page: &[u8], word: &[u8]) -> bool {
    page.windows(word.len()).any(|window| window == word)
}

fn has_marker(page: &[u8]) -> bool {
    let mut lines = page.split(|byte| *byte == b'\n');
    lines.any(|line| line.trim_ascii_end() == b"# EOF")
}

fn sum_holds(page: &[u8], end: End, whole: Result<f64, Why>) {
    let Ok(sum) = whole else { return };
    assert!(!sum.is_nan());
    assert!(has(page, NAME.as_bytes()), "a sum of nothing");
    assert!(end != End::Marker || has_marker(page), "cut off");
    assert!(
        end != End::Silence || page.ends_with(b"\n"),
        "may be cut off"
    );
}

/// A further series counts, and a broken one makes the page unreadable; nothing makes it readable again.
fn what_follows_holds(metric: &Metric, page: &[u8], end: End, whole: Result<f64, Why>) {
    let followed = |line: &str| sum(metric, [page, b"\n", line.as_bytes()], end);
    let more = followed("jobs{queue=\"mail\"} 1\n");
    let is_counted = metric
        .labels
        .get("queue")
        .is_none_or(|queue| queue == "mail");
    match (whole, more) {
        (Err(Why::Unreadable), more) => assert_eq!(more, Err(Why::Unreadable)),
        (Ok(sum), Ok(more)) if is_counted => assert!(more.total_cmp(&(sum + 1.0)).is_eq()),
        (Ok(sum), Ok(more)) => assert!(more.total_cmp(&sum).is_eq()),
        (Ok(_), Err(why)) => panic!("a further series is no error: {why}"),
        _ => {}
    }
    assert_eq!(followed("jobs{queue=\"mail\" 0\n"), Err(Why::Unreadable));
}

/// OpenMetrics without its marker is never whole, nor is a page whose last line may go on.
fn cuts_hold(metric: &Metric, page: &[u8]) {
    for length in lengths(page.len()) {
        let cut = page.get(..length).unwrap_or_default();
        for end in [End::Marker, End::Silence] {
            sum_holds(cut, end, sum(metric, [cut], end));
        }
    }
}

/// The agent's own page, read as an application's.
fn own_page_holds(data: &[u8]) {
    let mut numbers = Numbers(data);
    let view = View {
        drains: u64::from(numbers.u32()),
        requests: Requests {
            readyz: u64::from(numbers.u32()),
            drain: u64::from(numbers.u16()),
            ..Requests::default()
        },
        ..View::default()
    };
    let page = metrics(&view);
    let shows = |name: &str, labels: &[(&str, &str)], number: u64| {
        let read = sum(&metric(name, labels), [page.as_bytes()], End::Silence);
        assert_eq!(read.map(|sum| format!("{sum}")), Ok(number.to_string()));
    };
    let requests = "graceful_agent_requests_total";
    shows("graceful_agent_drains_total", &[], view.drains);
    shows(requests, &[("path", "/readyz")], view.requests.readyz);
    let all = view.requests.readyz + view.requests.drain;
    shows(requests, &[], all);
}
