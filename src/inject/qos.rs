//! The agent's resources, such that a Guaranteed pod stays Guaranteed. (A BestEffort
//! pod becomes Burstable: that is the price of a CPU request.)

use serde_json::Value;

use super::pod::{Container, Object, Pod};

/// Requests and limits of the agent.
///
/// A CPU request always, because an HPA on CPU fails for pods where a container has none. A CPU limit
/// only where a Guaranteed pod demands it, and then more than the agent needs on average: 50m are 5 ms
/// in each 100 ms of the scheduler, so that the copy of its binary at the pod's start and a dump of
/// thousands of sockets (12 to 15 ms for 10,000) are not spread over seconds. At 10m they would be,
/// and the time between two samples follows from the cost of one. No probe depends on it: an answer
/// may take 10 s.
///
/// Nothing for what the pod as a whole has a budget for (`spec.resources`): that decides its class and
/// serves the agent too, and the API server refuses a pod whose containers request more.
pub(super) fn of_agent(pod: &Pod) -> Value {
    let (mut requests, mut limits) = if pod.all_containers().all(|it| is_guaranteed(&it.it)) {
        (
            amounts(&[("cpu", "50m"), ("memory", "16Mi")]),
            amounts(&[("cpu", "50m"), ("memory", "16Mi")]),
        )
    } else {
        (
            amounts(&[("cpu", "5m"), ("memory", "8Mi")]),
            amounts(&[("memory", "16Mi")]),
        )
    };
    for name in pod
        .spec
        .resources
        .limits
        .keys()
        .chain(pod.spec.resources.requests.keys())
    {
        requests.remove(name);
        limits.remove(name);
    }
    let parts = [("requests", requests), ("limits", limits)].into_iter();
    let parts = parts.filter(|(_, amounts)| !amounts.is_empty());
    parts
        .map(|(key, amounts)| (key.to_owned(), Value::Object(amounts)))
        .collect()
}

fn amounts(amounts: &[(&str, &str)]) -> Object {
    let amounts = amounts.iter();
    amounts
        .map(|(name, amount)| ((*name).to_owned(), Value::from(*amount)))
        .collect()
}

/// As the kubelet has it (pkg/apis/core/v1/helper/qos): limits for CPU and memory, and requests equal
/// to them or absent.
fn is_guaranteed(container: &Container) -> bool {
    let resources = &container.resources;
    ["cpu", "memory"].into_iter().all(|name| {
        let limit = resources.limits.get(name).and_then(quantity);
        let request = resources.requests.get(name).map(quantity);
        limit.is_some_and(|limit| limit > 0 && request.is_none_or(|request| request == Some(limit)))
    })
}

/// A quantity in billionths, rounded up as Kubernetes does; `None` where it is none or too large.
fn quantity(value: &Value) -> Option<i128> {
    match value {
        Value::String(text) => parse(text.trim()),
        Value::Number(number) => parse(&number.to_string()),
        _ => None,
    }
}

fn parse(text: &str) -> Option<i128> {
    let end = text
        .find(|c: char| !c.is_ascii_digit() && !"+-.".contains(c))
        .unwrap_or(text.len());
    let (digits, suffix) = text.split_at_checked(end)?;
    let (whole, fraction) = digits.split_once('.').unwrap_or((digits, ""));
    let decimals = u32::try_from(fraction.len()).ok()?;
    let mantissa: i128 = format!("{whole}{fraction}").parse().ok()?;
    let numerator = mantissa.checked_mul(scale(suffix)?)?;
    let divisor = 10_i128.checked_pow(decimals)?;
    // `div_ceil` of signed numbers is not stable; quantities that decide something are positive.
    Some(numerator.checked_add(divisor - 1)?.div_euclid(divisor))
}

/// What a suffix multiplies by, in billionths.
fn scale(suffix: &str) -> Option<i128> {
    let binary = |power: u32| 1024_i128.checked_pow(power)?.checked_mul(1_000_000_000);
    let decimal = |power: u32| 10_i128.checked_pow(power + 9);
    match suffix {
        "n" => Some(1),
        "u" => Some(1_000),
        "m" => Some(1_000_000),
        "" => decimal(0),
        "k" => decimal(3),
        "M" => decimal(6),
        "G" => decimal(9),
        "T" => decimal(12),
        "P" => decimal(15),
        "E" => decimal(18),
        "Ki" => binary(1),
        "Mi" => binary(2),
        "Gi" => binary(3),
        "Ti" => binary(4),
        "Pi" => binary(5),
        "Ei" => binary(6),
        exponent => {
            let power: i32 = exponent.strip_prefix(['e', 'E'])?.parse().ok()?;
            10_i128.checked_pow(u32::try_from(power.checked_add(9)?).ok()?)
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn quantities_are_equal_however_they_are_written() {
        for (one, other) in [
            (json!("1"), json!(1)),
            (json!("1000m"), json!("1")),
            (json!(0.5), json!("500m")),
            (json!("0.5"), json!("500m")),
            (json!("1Gi"), json!("1024Mi")),
            (json!("1.5Gi"), json!("1536Mi")),
            (json!("1e3"), json!("1k")),
            (json!("128974848"), json!("123Mi")),
            (json!("+1"), json!("1")),
        ] {
            assert_eq!(
                quantity(&one).unwrap(),
                quantity(&other).unwrap(),
                "{one} {other}"
            );
        }
        assert_ne!(quantity(&json!("1G")), quantity(&json!("1Gi")));
        for nonsense in [
            json!("one"),
            json!(""),
            json!("1.2.3"),
            json!("1Q"),
            json!("1e99"),
            json!({}),
        ] {
            assert_eq!(quantity(&nonsense), None, "{nonsense}");
        }
    }
}
