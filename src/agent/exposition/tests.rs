//! Pages as applications write them, pages that are wrong, and pages cut into any pieces.

use std::collections::BTreeMap;
use std::fmt::Write;

use proptest::prelude::*;

use super::*;

fn metric(name: &str, labels: &[(&str, &str)]) -> Metric {
    let label = |(key, value): &(&str, &str)| ((*key).to_owned(), (*value).to_owned());
    Metric {
        port: 9000,
        path: "/metrics".into(),
        name: name.into(),
        labels: labels.iter().map(label).collect(),
        at_most: 0,
    }
}

fn sum_of(page: &str, metric: &Metric) -> Result<f64, Why> {
    let mut read = Page::new(metric);
    read.push(page.as_bytes());
    read.sum(End::Length)
}

fn jobs(page: &str) -> Result<f64, Why> {
    sum_of(page, &metric("jobs", &[]))
}

const GO: &str = "\
# HELP go_goroutines Number of goroutines that currently exist.
# TYPE go_goroutines gauge
go_goroutines 9
# HELP jobs Jobs that run.
# TYPE jobs gauge
jobs{queue=\"mail\",kind=\"a \\\"b\\\" {c},\\n\"} 2
jobs{queue=\"mail\",kind=\"late\"} 1e0 1395066363000
jobs{queue=\"sms\"} 4
jobs_total{queue=\"mail\"} 900
";

#[test]
fn series_of_a_name_are_summed() {
    assert_eq!(jobs(GO), Ok(7.0));
    assert_eq!(sum_of(GO, &metric("go_goroutines", &[])), Ok(9.0));
}

#[test]
fn labels_choose_the_series() {
    let of = |labels: &[(&str, &str)]| sum_of(GO, &metric("jobs", labels));
    assert_eq!(of(&[("queue", "mail")]), Ok(3.0));
    assert_eq!(of(&[("queue", "mail"), ("kind", "late")]), Ok(1.0));
    assert_eq!(of(&[("kind", "a \"b\" {c},\n")]), Ok(2.0));
    assert_eq!(of(&[("kind", "")]), Ok(4.0), "an empty label is none");
    assert_eq!(of(&[("queue", "push")]), Err(Why::Missing));
}

/// T7: nothing to read is not 0.
#[test]
fn absent_metric_is_never_zero() {
    for page in [
        "",
        "\n",
        "job 0\n",
        "jobs_total 0\n",
        "# jobs 0\n",
        "# EOF\n",
    ] {
        assert_eq!(jobs(page), Err(Why::Missing), "{page:?}");
    }
}

/// T7.
#[test]
fn line_of_the_name_that_cannot_be_read_is_an_error() {
    for line in [
        "jobs",
        "jobs ",
        "jobs none",
        "jobs{",
        "jobs{queue} 0",
        "jobs{queue=mail} 0",
        "jobs{queue=\"mail} 0",
        "jobs{queue=\"mail\" 0",
        "jobs{queue=\"mail\" kind=\"late\"} 0",
        "jobs{queue=\"mail\"}",
        "jobs{=\"mail\"} 0",
        "{\"jobs\"",
    ] {
        let page = format!("jobs 0\n{line}\n");
        assert_eq!(jobs(&page), Err(Why::Unreadable), "{line}");
    }
    let twice = sum_of("jobs{a=\"1\",a=\"1\"} 0\n", &metric("jobs", &[("a", "1")]));
    assert_eq!(twice, Err(Why::Unreadable));
}

/// T7.
#[test]
fn what_is_not_a_number_is_an_error() {
    assert_eq!(jobs("jobs NaN\n"), Err(Why::NotANumber));
    assert_eq!(
        jobs("jobs{a=\"b\"} +Inf\njobs -Inf\n"),
        Err(Why::NotANumber)
    );
    assert_eq!(jobs("jobs +Inf\n"), Ok(f64::INFINITY));
}

#[test]
fn names_may_stand_in_quotes_within_the_braces() {
    let page =
        "{\"job.count\",\"queue.name\"=\"mail\"} 3\n{\"jobs\"} 4\n{queue=\"x\",\"job.count\"} 1\n";
    assert_eq!(sum_of(page, &metric("job.count", &[])), Ok(4.0));
    assert_eq!(
        sum_of(page, &metric("job.count", &[("queue.name", "mail")])),
        Ok(3.0)
    );
}

#[test]
fn open_metrics_that_is_cut_off_is_an_error() {
    let jobs = metric("jobs", &[]);
    let read = |page: &str| {
        let mut read = Page::new(&jobs);
        read.push(page.as_bytes());
        read.sum(End::Marker)
    };
    let exemplar = "jobs_total 3.0 1520879607.789 # {trace=\"1\"} 9.8\n";
    assert_eq!(read(&format!("jobs 0\n{exemplar}# EOF\n")), Ok(0.0));
    assert_eq!(read(&format!("jobs 0\n{exemplar}")), Err(Why::CutOff));
}

#[test]
fn last_line_needs_no_end_where_the_length_is_known() {
    let page = "jobs 1\njobs{a=\"b\"} 2";
    assert_eq!(jobs(page), Ok(3.0));
    let jobs = metric("jobs", &[]);
    let read = |page: &str| {
        let mut read = Page::new(&jobs);
        read.push(page.as_bytes());
        read.sum(End::Silence)
    };
    assert_eq!(read(page), Err(Why::CutOff), "2 may have been 20");
    assert_eq!(read(&format!("{page}0\n")), Ok(21.0));
}

#[test]
fn another_comment_is_no_end_of_open_metrics() {
    let jobs = metric("jobs", &[]);
    for (comment, expected) in [("# EOFX", Err(Why::CutOff)), ("# EOF\r", Ok(0.0))] {
        let mut page = Page::new(&jobs);
        page.push(format!("jobs 0\n{comment}\n").as_bytes());
        assert_eq!(page.sum(End::Marker), expected);
    }
}

#[test]
fn long_line_is_refused_in_one_piece_as_in_many() {
    let jobs = metric("jobs", &[]);
    let mut page = Page::new(&jobs);
    page.push(format!("jobs{{a=\"{}\"}} 0\n", "x".repeat(LINE)).as_bytes());
    assert_eq!(page.sum(End::Length), Err(Why::Unreadable));
}

/// T11: of a line without end nothing is kept but its beginning.
#[test]
fn endless_line_takes_no_more_memory_than_another() {
    let wanted = metric("jobs", &[]);
    for (beginning, expected) in [("other{a=\"", Ok(5.0)), ("jobs{a=\"", Err(Why::Unreadable))] {
        let mut page = Page::new(&wanted);
        page.push(b"jobs 5\n");
        page.push(beginning.as_bytes());
        for _ in 0..1000 {
            page.push(&[b'x'; 4096]);
            assert!(page.line.capacity() <= 2 * LINE, "{}", page.line.capacity());
        }
        page.push(b"\"} 1\n");
        assert_eq!(page.sum(End::Length), expected);
    }
}

/// A page of our own making: series of two names with labels of any text.
fn pages() -> impl Strategy<Value = Vec<(bool, BTreeMap<String, String>, i32)>> {
    let labels = proptest::collection::btree_map("[ab]", "[xy\"\\\\\n{},= ]{0,4}", 0..3);
    proptest::collection::vec((any::<bool>(), labels, -5..50_i32), 0..20)
}

fn written(page: &[(bool, BTreeMap<String, String>, i32)]) -> String {
    let mut text = String::new();
    for (is_ours, labels, value) in page {
        let escape = |text: &str| {
            let text = text.replace('\\', "\\\\").replace('"', "\\\"");
            text.replace('\n', "\\n")
        };
        let labels = labels.iter();
        let labels = labels.map(|(key, value)| format!("{key}=\"{}\"", escape(value)));
        let labels: Vec<_> = labels.collect();
        let name = if *is_ours { "jobs" } else { "jobs_more" };
        let labels = labels.join(",");
        let _ = write!(text, "# HELP {name} x\n{name}{{{labels}}} {value}\n");
    }
    text
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(1000))]

    #[test]
    fn any_page_in_any_pieces_gives_its_sum(
        page in pages(),
        wanted in proptest::option::of("[xy\"\\\\]{0,2}"),
        cuts in proptest::collection::vec(1..40_usize, 1..8),
    ) {
        let labels: Vec<_> = wanted.iter().map(|value| ("a", value.as_str())).collect();
        let metric = metric("jobs", &labels);
        let is_wanted = |labels: &BTreeMap<String, String>| {
            let value = labels.get("a").cloned().unwrap_or_default();
            wanted.as_ref().is_none_or(|wanted| *wanted == value)
        };
        let ours = page.iter().filter(|(is_ours, labels, _)| *is_ours && is_wanted(labels));
        let values: Vec<_> = ours.map(|(.., value)| f64::from(*value)).collect();
        let expected = if values.is_empty() {
            Err(Why::Missing)
        } else {
            Ok(values.iter().sum())
        };
        let text = written(&page);
        let mut read = Page::new(&metric);
        let mut rest = text.as_bytes();
        for cut in cuts.iter().cycle() {
            if rest.is_empty() {
                break;
            }
            let (piece, after) = rest.split_at((*cut).min(rest.len()));
            read.push(piece);
            rest = after;
        }
        prop_assert_eq!(read.sum(End::Length), expected);
    }

    /// T11, T12.
    #[test]
    fn any_bytes_are_read_or_refused(
        bytes in proptest::collection::vec(prop_oneof![
            Just(b"jobs".to_vec()), Just(b"{".to_vec()), Just(b"\"".to_vec()), Just(b"\\".to_vec()),
            Just(b"}".to_vec()), Just(b"=".to_vec()), Just(b" ".to_vec()), Just(b"\n".to_vec()),
            Just(b"1".to_vec()), Just(b",".to_vec()), proptest::collection::vec(any::<u8>(), 0..3),
        ], 0..60),
    ) {
        let metric = metric("jobs", &[("a", "x")]);
        let mut whole = Page::new(&metric);
        whole.push(&bytes.concat());
        let mut pieces = Page::new(&metric);
        for piece in &bytes {
            pieces.push(piece);
        }
        let (whole, pieces) = (whole.sum(End::Length), pieces.sum(End::Length));
        prop_assert_eq!(format!("{whole:?}"), format!("{pieces:?}"));
    }
}
