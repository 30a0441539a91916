//! The safety monitor itself: it is silent over a history that keeps every promise, and each promise
//! that is broken is one that it complains of.

mod history;
#[path = "../fixtures/monitor.rs"]
mod monitor;

use jiff::SignedDuration;
use serde_json::{Value, json};

use self::history::{History, LATER, micros, pod_of, with_receipt};
use self::monitor::{Call, Deleter, LAG, Rule, Terms, deleters, unguarded};

#[test]
fn a_rollout_by_the_book_breaks_nothing() {
    let mut history = History::begin();
    history.surge();
    history.drains(&json!([history.drain("a")]));
    history.asked("a");
    history.named(&["b", "c"]);
    history.after(10);
    history.receipt("a");
    history.drains(&json!([history.drained("a")]));
    history.scale("old", 1);
    history.deleted(&with_receipt("a"));
    history.gone("a");
    history.drains(&json!([]));
    history.scale("new", 2);
    history.assert_kept();
}

#[test]
fn a_drain_that_takes_too_much_out_of_service_is_seen() {
    let mut history = History::begin();
    history.drains(&json!([history.drain("a")]));
    history.assert_broken(Rule::Available);
}

#[test]
fn a_request_without_memory_takes_out_of_service_too() {
    let mut history = History::begin();
    history.asked("a");
    history.assert_broken(Rule::Available);
}

#[test]
fn a_deletion_by_name_that_costs_service_is_seen() {
    let mut history = History::begin();
    history.deleted(&pod_of("a", "old"));
    let terms = Terms {
        deleters: [("a".to_owned(), Deleter::Operator)].into(),
        ..Terms::default()
    };
    assert_eq!(history.broken(terms), [Rule::Deletion, Rule::Available]);
}

#[test]
fn what_others_take_out_of_service_is_not_ours() {
    let mut history = History::begin();
    history.deleted(&pod_of("a", "old"));
    history.gone("a");
    history.see(&pod_of("b", "old"));
    history.assert_kept();
}

#[test]
fn what_others_did_a_moment_ago_is_forgiven_but_not_for_ever() {
    for (seconds, rules) in [(1, vec![]), (LATER, vec![Rule::Available])] {
        let mut history = History::begin();
        history.surge();
        history.see(&pod_of("b", "old"));
        history.after(seconds);
        history.drains(&json!([history.drain("a")]));
        assert_eq!(history.broken(Terms::default()), rules, "after {seconds} s");
    }
}

#[test]
fn a_pod_that_no_slice_names_is_not_in_service() {
    let mut history = History::begin();
    history.surge();
    history.named(&["a", "b"]);
    history.after(LATER);
    history.drains(&json!([history.drain("a")]));
    history.assert_broken(Rule::Available);
}

#[test]
fn a_pod_that_is_not_ripe_is_not_in_service() {
    let mut history = History::begin();
    history.edit("minReadySeconds", json!(600));
    history.surge();
    history.after(500);
    history.drains(&json!([history.drain("a")]));
    history.assert_broken(Rule::Available);
}

#[test]
fn a_pod_more_than_the_surge_allows_is_seen() {
    let mut history = History::begin();
    history.edit("template", json!("changed"));
    history.scale("new", 2);
    history.assert_broken(Rule::Surge);
}

#[test]
fn a_second_surge_right_after_the_first_is_seen() {
    let mut history = History::begin();
    history.edit("template", json!("changed"));
    history.scale("new", 1);
    history.scale("newer", 1);
    history.assert_broken(Rule::Surge);
}

#[test]
fn leaving_pods_count_where_the_policy_says_so() {
    let mut history = History::begin();
    history.edit("podReplacementPolicy", json!("TerminationComplete"));
    history.surge();
    history.drains(&json!([history.drain("a")]));
    history.asked("a");
    history.after(LATER);
    history.scale("new", 2);
    history.assert_broken(Rule::Surge);
}

#[test]
fn a_drain_beyond_their_number_is_seen() {
    let mut history = History::begin();
    history.edit("replicas", json!(0));
    history.after(LATER);
    let drains = json!([history.drain("a"), history.drain("b")]);
    history.drains(&drains);
    history.assert_broken(Rule::Draining);
}

/// It was seen not ready when it was decided that it leaves by its deletion.
#[test]
fn a_leaving_pod_that_just_turned_ready_is_no_drain_too_many() {
    let history = |seconds: i64| {
        let mut history = History::begin();
        history.surge();
        history.see(&pod_of("d", "old"));
        history.ready("d", "old");
        history.after(seconds);
        let mut by_deletion = history.drain("d");
        by_deletion["way"] = json!("Termination");
        let drains = json!([history.drain("a"), by_deletion]);
        history.drains(&drains);
        history
    };
    history(0).assert_kept();
    history(LATER).assert_broken(Rule::Draining);
}

#[test]
fn a_pod_deleted_while_its_drain_goes_on_is_seen() {
    let mut history = History::begin();
    history.surge();
    history.drains(&json!([history.drain("a")]));
    history.asked("a");
    history.named(&["b", "c"]);
    history.scale("old", 1);
    history.deleted(&pod_of("a", "old"));
    history.assert_broken(Rule::Deletion);
}

/// The drained pod `a` is deleted, and something about it is not as it should be.
fn deletion_of_drained(spoil: impl Fn(&mut Value), receipt: bool, named: &[&str]) -> History {
    let mut history = History::begin();
    history.surge();
    let begun = history.drain("a");
    history.drains(&json!([begun]));
    history.asked("a");
    history.named(named);
    history.after(10);
    if receipt {
        history.receipt("a");
    }
    let mut drain = history.drained("a");
    drain["since"] = begun["since"].clone();
    spoil(&mut drain);
    history.drains(&json!([drain]));
    history.scale("old", 1);
    history.deleted(&if receipt {
        with_receipt("a")
    } else {
        pod_of("a", "old")
    });
    history
}

#[test]
fn a_drained_pod_may_be_deleted_and_no_other() {
    let out = ["b", "c"];
    deletion_of_drained(|_| {}, true, &out).assert_kept();
    deletion_of_drained(|_| {}, false, &out).assert_broken(Rule::Deletion);
    deletion_of_drained(|_| {}, true, &["a", "b", "c"]).assert_broken(Rule::Deletion);
    let early = |drain: &mut Value| drain["withdrawn"] = drain["retired"].clone();
    deletion_of_drained(early, true, &out).assert_broken(Rule::Deletion);
    let unwritten = |drain: &mut Value| drain["retired"] = Value::Null;
    deletion_of_drained(unwritten, true, &out).assert_broken(Rule::Deletion);
    let too_soon = |drain: &mut Value| drain["outcome"] = json!("Silent");
    deletion_of_drained(too_soon, false, &out).assert_broken(Rule::Deletion);
    let overdue = |drain: &mut Value| {
        drain["outcome"] = json!("Silent");
        drain["deadline"] = drain["retired"].clone();
    };
    deletion_of_drained(overdue, false, &out).assert_kept();
    let unsaid = |drain: &mut Value| drain["outcome"] = json!("TimedOut");
    deletion_of_drained(unsaid, true, &out).assert_broken(Rule::Deletion);
    let unsaid_in_time = |drain: &mut Value| {
        drain["outcome"] = json!("TimedOut");
        drain["deadline"] = drain["retired"].clone();
    };
    deletion_of_drained(unsaid_in_time, true, &out).assert_kept();
    deletion_of_drained(unsaid_in_time, false, &out).assert_broken(Rule::Deletion);
}

#[test]
fn a_sibling_that_the_replica_set_took_instead_is_seen() {
    let mut history = History::begin();
    history.surge();
    history.drains(&json!([history.drain("a")]));
    history.asked("a");
    history.named(&["b", "c"]);
    history.after(10);
    history.receipt("a");
    let mut drain = history.drained("a");
    drain["since"] = json!(micros(history.now - SignedDuration::from_secs(10)));
    history.drains(&json!([drain]));
    history.scale("old", 1);
    history.deleted(&pod_of("b", "old"));
    let broken = history.broken(Terms::default());
    assert_eq!(broken, [Rule::Deletion, Rule::Available]);
}

#[test]
fn a_revision_that_goes_up_again_is_seen() {
    let mut history = History::begin();
    history.edit("template", json!("changed"));
    for replicas in [1, 0, 1] {
        history.scale("new", replicas);
    }
    history.assert_broken(Rule::FlipFlop);
}

/// What was written under the last spec is no turn of this one: the status says when it is acted on.
#[test]
fn a_revision_may_turn_when_the_next_spec_is_acted_on() {
    let history = |is_seen_first: bool| {
        let mut history = History::begin();
        history.observe(1);
        history.edit("template", json!("changed"));
        if is_seen_first {
            history.observe(2);
        }
        history.scale("new", 1);
        history.observe(2);
        history.scale("new", 0);
        history.scale("new", 1);
        history
    };
    history(false).assert_kept();
    history(true).assert_broken(Rule::FlipFlop);
}

#[test]
fn each_edit_lets_a_revision_turn_anew() {
    let mut history = History::begin();
    for replicas in [1, 0, 1, 0] {
        history.edit("template", json!(replicas));
        history.scale("new", replicas);
    }
    history.assert_kept();
}

#[test]
fn a_clock_that_starts_anew_is_seen() {
    let mut history = History::begin();
    history.surge();
    let begun = history.drain("a");
    for deadline in [20, 21] {
        let mut drain = begun.clone();
        drain["deadline"] = json!(micros(history.now + SignedDuration::from_secs(deadline)));
        history.drains(&json!([drain]));
    }
    history.assert_broken(Rule::Clock);
}

#[test]
fn new_settings_may_move_a_deadline() {
    let mut history = History::begin();
    history.surge();
    let begun = history.drain("a");
    for deadline in [20, 50] {
        let mut drain = begun.clone();
        drain["deadline"] = json!(micros(history.now + SignedDuration::from_secs(deadline)));
        history.drains(&json!([drain]));
        history.edit("drain", json!({"minSeconds": 5, "timeoutSeconds": 60}));
    }
    history.assert_kept();
}

#[test]
fn an_exception_is_for_its_rule_alone() {
    let excepted = |rule| Terms {
        except: [rule].into(),
        lag: LAG,
        ..Terms::default()
    };
    for (rule, left) in [(Rule::Available, 0), (Rule::Surge, 1)] {
        let mut history = History::begin();
        history.asked("a");
        assert_eq!(history.broken(excepted(rule)).len(), left);
    }
}

fn call(agent: &str, verb: &str, body: Value) -> Call {
    Call {
        agent: agent.into(),
        verb: verb.into(),
        resource: "pods".into(),
        name: "a".into(),
        code: 200,
        body: Some(body),
    }
}

#[test]
fn a_write_without_its_precondition_is_seen() {
    let uid = json!({"uid": "u"});
    let both = json!({"metadata": {"uid": "u", "resourceVersion": "7"}});
    let on = |resource: &str, verb: &str, body: Value| {
        let mut call = call("graceful-operator", verb, body);
        call.resource = resource.into();
        unguarded(&[call]).len()
    };
    let ours = |verb: &str, body: Value| on("replicasets", verb, body);
    assert_eq!(ours("delete", json!({"preconditions": uid})), 0);
    assert_eq!(ours("delete", json!({})), 1);
    assert_eq!(ours("deletecollection", json!({})), 1);
    for verb in ["patch", "update"] {
        assert_eq!(ours(verb, both.clone()), 0);
        assert_eq!(ours(verb, json!({"metadata": uid})), 1);
    }
    assert_eq!(on("pods", "patch", json!({"metadata": uid})), 0);
    assert_eq!(on("pods", "patch", json!({"metadata": {}})), 1);
    assert_eq!(ours("create", json!({})), 0);
    let others = call("kubectl/v1.36", "delete", json!({}));
    assert_eq!(unguarded(&[others]).len(), 0);
}

#[test]
fn a_pod_is_deleted_by_whoever_came_first() {
    let set = "kube-controller-manager/v1 (linux) /system:serviceaccount:kube-system:replicaset-controller";
    let mut refused = call("graceful-operator", "delete", json!({}));
    refused.code = 409;
    let calls = [
        refused,
        call(set, "delete", json!({})),
        call("curl", "delete", json!({})),
    ];
    assert_eq!(deleters(&calls)["a"], Deleter::ReplicaSet);
    assert_eq!(deleters(&calls[2..])["a"], Deleter::Other);
}
