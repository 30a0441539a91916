//! Axes: round steps for a range of values, and how a value of one of Grafana's units is written.

/// Of a panel's values.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Unit {
    Count,
    Seconds,
    Bytes,
    /// Of one.
    Share,
    PerSecond,
}

impl Unit {
    /// By Grafana's name.
    pub(super) fn named(name: &str) -> Self {
        match name {
            "s" => Self::Seconds,
            "bytes" => Self::Bytes,
            "percentunit" => Self::Share,
            "ops" | "cps" | "reqps" => Self::PerSecond,
            _ => Self::Count,
        }
    }

    /// What a value is divided by, and the sign behind it, where the greatest is this.
    fn shown(self, greatest: f64) -> (f64, &'static str) {
        match self {
            Self::Count => (1.0, ""),
            Self::PerSecond => (1.0, "/s"),
            Self::Share => (0.01, " %"),
            Self::Seconds if greatest < 1.0 => (0.001, " ms"),
            Self::Seconds if greatest <= 300.0 => (1.0, " s"),
            Self::Seconds => (60.0, " min"),
            Self::Bytes if greatest < 1_048_576.0 => (1024.0, " KiB"),
            Self::Bytes => (1_048_576.0, " MiB"),
        }
    }

    /// One value, alone.
    pub(super) fn written(self, value: f64, decimals: Option<usize>) -> String {
        let (divisor, sign) = self.shown(value);
        let shown = value / divisor;
        let decimals = decimals.unwrap_or(usize::from(shown.fract() != 0.0));
        format!("{shown:.decimals$}{sign}")
    }
}

/// Values at which an axis from 0 on has its lines, with what is written there; the last is its end.
pub(super) fn ticks(greatest: f64, unit: Unit) -> Vec<(f64, String)> {
    let greatest = if greatest > 0.0 { greatest } else { 1.0 };
    let (divisor, sign) = unit.shown(greatest);
    let shown = greatest / divisor;
    let step = round_step(shown / 4.0);
    // There is no half of a pod.
    let is_whole = unit == Unit::Count && shown.fract() == 0.0;
    let step = if is_whole { step.max(1.0) } else { step };
    let decimals = usize::from(step < 1.0) + usize::from(step < 0.1) + usize::from(step < 0.01);
    let mut ticks = Vec::new();
    let mut count = 0_u32;
    loop {
        let at = f64::from(count) * step;
        ticks.push((at * divisor, format!("{at:.decimals$}{sign}")));
        // What touches the end is seen.
        if at >= shown * 0.999 {
            return ticks;
        }
        count += 1;
    }
}

/// The next of 1, 2, 5 and their tenfolds.
fn round_step(least: f64) -> f64 {
    let base = 10_f64.powf(least.log10().floor());
    let steps = [1.0, 2.0, 5.0, 10.0].map(|factor| factor * base);
    let fits = steps.into_iter().find(|step| *step >= least * 0.999);
    fits.unwrap_or(base * 10.0)
}

/// Moments between two seconds, at most seven, with their time of day.
pub(super) fn moments(from: i64, to: i64) -> Vec<(i64, String)> {
    let steps = [15, 30, 60, 120, 300, 600, 900, 1800, 3600];
    let fits = |step: &&i64| (to - from) / **step <= 6;
    let step = steps.iter().find(fits).copied().unwrap_or(7200);
    let first = (from + step - 1) / step * step;
    let mut found = Vec::new();
    let mut at = first;
    while at <= to {
        found.push((at, clock(at, step < 60)));
        at += step;
    }
    found
}

/// The time of day, UTC.
pub(super) fn clock(at: i64, with_seconds: bool) -> String {
    let (hours, minutes, seconds) = (at / 3600 % 24, at / 60 % 60, at % 60);
    if with_seconds {
        format!("{hours:02}:{minutes:02}:{seconds:02}")
    } else {
        format!("{hours:02}:{minutes:02}")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn labels(greatest: f64, unit: Unit) -> Vec<String> {
        let ticks = ticks(greatest, unit);
        ticks.into_iter().map(|(_, label)| label).collect()
    }

    #[test]
    fn axis_has_round_steps_and_reaches_the_greatest_value() {
        assert_eq!(labels(4.0, Unit::Count), ["0", "1", "2", "3", "4"]);
        assert_eq!(labels(0.0, Unit::Count), ["0", "1"]);
        assert_eq!(labels(0.5, Unit::Count).first().unwrap(), "0.0");
        assert_eq!(labels(41.0, Unit::Seconds), ["0 s", "20 s", "40 s", "60 s"]);
        assert_eq!(
            labels(0.012, Unit::Seconds),
            ["0 ms", "5 ms", "10 ms", "15 ms"]
        );
        assert_eq!(labels(1.0, Unit::Share), ["0 %", "50 %", "100 %"]);
        let mib = 1_048_576.0;
        assert_eq!(labels(15.0 * mib, Unit::Bytes).last().unwrap(), "15 MiB");
    }

    #[test]
    fn moments_are_round_times_of_day() {
        let found = moments(3605, 3605 + 500);
        let labels: Vec<_> = found.into_iter().map(|(_, label)| label).collect();
        assert_eq!(labels, ["01:02", "01:04", "01:06", "01:08"]);
    }
}
