//! What the operator writes for the agent: the request to drain and the settings of an unplanned exit. Only a
//! whole request is one, garbage changes nothing, and no confirmation that was asked for is forgotten.

use graceful::agent::drain::{Settings, Way};
use graceful::agent::podinfo::{Wanted, parse_config};
use graceful::agent::service::{State, Step, step};
use graceful::api::request::DrainRequest;
use graceful::api::v1alpha1::Drain;

use super::cuts::lengths;

/// Most of a name of a confirmation, as it stands in a receipt.
const NAME: usize = 64;

/// Holds for any text of either annotation.
pub fn hold(data: &[u8]) {
    let text = String::from_utf8_lossy(data);
    match Wanted::parse(&text) {
        Wanted::Service => assert!(text.trim().is_empty(), "cancelled by {text}"),
        Wanted::Unclear(_) => garbage_changes_nothing(&text),
        Wanted::Drain(request) => request_holds(&request),
    }
    if let Ok(drain) = parse_config(&text) {
        let again = serde_json::to_string(&drain).ok();
        let again = again.map(|text| parse_config(&text));
        assert_eq!(again, Some(Ok(drain.clone())));
        settings_hold(&drain);
    }
}

fn garbage_changes_nothing(text: &str) {
    for state in [State::Service, State::Draining("a"), State::Finished("a")] {
        let step = step(state, Wanted::parse(text));
        assert!(matches!(step, Step::Complain(_)), "{step:?}");
    }
}

fn request_holds(request: &DrainRequest) {
    assert!((1..=64).contains(&request.epoch.len()));
    let text = serde_json::to_string(request).unwrap_or_default();
    match Wanted::parse(&text) {
        Wanted::Drain(again) => assert_eq!(*again, *request),
        other => panic!("our own request is {other:?}"),
    }
    let cuts = lengths(text.len()).skip(1);
    for cut in cuts.filter_map(|length| text.get(..length)) {
        assert!(matches!(Wanted::parse(cut), Wanted::Unclear(_)), "{cut}");
    }
    let doubled = Wanted::parse(&format!("{text}{text}"));
    assert!(matches!(doubled, Wanted::Unclear(_)));
    settings_hold(&request.drain);
}

/// What the agent makes of them: lengths below which nothing can be subtracted, and every confirmation.
fn settings_hold(drain: &Drain) {
    for way in [Way::Readiness, Way::Termination] {
        for host_network in [false, true] {
            let settings = Settings::new(drain, way, host_network);
            let lengths = [
                settings.timeout,
                settings.min,
                settings.quiet,
                settings.arrivals,
            ];
            assert!(
                lengths
                    .iter()
                    .all(|length| (0..=i64::from(i32::MAX) * 1000).contains(length))
            );
            let asked = drain.confirm.iter().flatten();
            let ours = asked.filter(|one| one.condition.is_none()).count();
            let kept = settings.connections.len() + settings.questions.len() + settings.unknown;
            assert!(kept >= ours, "a confirmation is forgotten");
            for question in &settings.questions {
                let name = question.what.name();
                assert!(name.len() <= NAME && !name.contains(['"', '\\']), "{name}");
                assert!(
                    name.bytes()
                        .all(|byte| byte == b' ' || byte.is_ascii_graphic())
                );
            }
        }
    }
}
