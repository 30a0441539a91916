//! What the README lists is what there is.

use graceful::api::reason::Reason;

#[test]
fn every_reason_is_listed() {
    let readme = include_str!("../../README.md");
    for (reason, meaning) in Reason::ALL {
        assert!(
            readme.contains(&format!("`{reason}`")),
            "{reason}:{meaning}"
        );
    }
}
