//! One dashboard: its panels at their places in Grafana's grid, each with what was recorded of its expressions.

use serde_json::Value;

use super::plot::{Marks, Named, Plot};
use super::recording::{Recording, Series};
use super::scale::{Unit, clock};
use super::svg::{Area, FAINT, GRID, Style, Svg};

/// Of one of the grid's 24 columns, and of one of its rows.
const COLUMN: f64 = 36.0;
const ROW: f64 = 32.0;

/// Between two panels.
const GAP: f64 = 8.0;

const MARGIN: f64 = 12.0;
const HEADER: f64 = 56.0;
const FOOTER: f64 = 26.0;

const GOOD: &str = "#2f8132";
const BAD: &str = "#c4162a";

/// Says what the picture is, in itself too.
const SAYS: &str = "Drawn by `cargo xtask pictures` from what a real Prometheus scraped; no screenshot of Grafana.";

/// In a panel whose expression is younger than the recording.
const NOT_ASKED: &str = "not recorded yet";

/// The picture of a dashboard.
pub(super) fn drawn(dashboard: &Value, recording: &Recording) -> String {
    let mut svg = Svg::default();
    let title = text(&dashboard["title"]);
    let width = COLUMN * 24.0 + 2.0 * MARGIN - GAP;
    let head = Style {
        size: 18.0,
        ..Style::HEAD
    };
    svg.text((MARGIN, 26.0), head, title);
    svg.text(
        (MARGIN, 44.0),
        Style::SMALL,
        text(&dashboard["description"]),
    );
    let (from, to) = (clock(recording.from, true), clock(recording.to, true));
    let right = (width - MARGIN, 26.0);
    svg.text(
        right,
        Style::PLAIN.anchored("end"),
        &format!("{from} to {to} UTC"),
    );
    let mut bottom = HEADER;
    for panel in list(&dashboard["panels"]) {
        let frame = placed(&panel["gridPos"]);
        bottom = bottom.max(frame.y + frame.height);
        draw_panel(&mut svg, panel, recording, frame);
    }
    svg.text((MARGIN, bottom + FOOTER - 8.0), Style::SMALL, SAYS);
    svg.finished(width, bottom + FOOTER, title)
}

fn placed(place: &Value) -> Area {
    let number = |key: &str| {
        place[key]
            .as_i64()
            .and_then(|number| i32::try_from(number).ok())
    };
    let number = |key: &str| f64::from(number(key).unwrap_or_default());
    Area {
        x: MARGIN + number("x") * COLUMN,
        y: HEADER + number("y") * ROW,
        width: number("w") * COLUMN - GAP,
        height: number("h") * ROW - GAP,
    }
}

fn draw_panel(svg: &mut Svg, panel: &Value, recording: &Recording, frame: Area) {
    svg.frame(frame);
    svg.text(
        (frame.x + 10.0, frame.y + 19.0),
        Style::HEAD,
        text(&panel["title"]),
    );
    let inner = Area {
        x: frame.x + 10.0,
        y: frame.y + 28.0,
        width: frame.width - 20.0,
        height: frame.height - 34.0,
    };
    let found: Vec<_> = list(&panel["targets"])
        .iter()
        .flat_map(|target| {
            let all = recording.of(text(&target["expr"]));
            let all = all.unwrap_or_default().iter();
            all.map(|series| (text(&target["legendFormat"]), series))
        })
        .collect();
    if found.is_empty() {
        let center = (inner.x + inner.width / 2.0, inner.y + inner.height / 2.0);
        let mut asked = list(&panel["targets"]).iter();
        let is_old = asked.any(|target| recording.of(text(&target["expr"])).is_none());
        let says = if is_old { NOT_ASKED } else { "nothing" };
        svg.text(center, Style::SMALL.anchored("middle"), says);
        return;
    }
    let defaults = panel
        .pointer("/fieldConfig/defaults")
        .unwrap_or(&Value::Null);
    match text(&panel["type"]) {
        "stat" => number(svg, defaults, &found, inner),
        "table" => table(svg, panel, &found, inner),
        _ => {
            let series: Vec<_> = found
                .iter()
                .map(|(legend, series)| Named {
                    name: series.named(legend),
                    values: series.values.clone(),
                })
                .collect();
            let plot = Plot {
                series: &series,
                unit: Unit::named(text(&defaults["unit"])),
                marks: marks(&defaults["custom"]),
                from: recording.from,
                to: recording.to,
                step: recording.step,
            };
            plot.draw(svg, inner);
        }
    }
}

/// As the panel has it.
fn marks(custom: &Value) -> Marks {
    match text(&custom["drawStyle"]) {
        "bars" => Marks::Bars,
        "points" => Marks::Dots,
        _ if custom.get("stacking").is_some() => Marks::Areas,
        _ => Marks::Lines,
    }
}

/// One number, in the colour of the highest threshold that it reaches.
fn number(svg: &mut Svg, defaults: &Value, found: &[(&str, &Series)], inner: Area) {
    let values = found.iter().flat_map(|(_, series)| &series.values);
    let value = values.flatten().next_back().copied().unwrap_or_default();
    let steps = defaults.pointer("/thresholds/steps").map_or(&[][..], list);
    let reached = steps
        .iter()
        .rfind(|step| step["value"].as_f64().is_none_or(|from| value >= from));
    let color = match reached.map(|step| text(&step["color"])) {
        Some("green") => GOOD,
        Some("red") => BAD,
        _ => super::svg::INK,
    };
    let decimals = defaults["decimals"].as_u64();
    let decimals = decimals.and_then(|decimals| usize::try_from(decimals).ok());
    let shown = Unit::named(text(&defaults["unit"])).written(value, decimals);
    let style = Style {
        size: 34.0,
        color,
        anchor: "middle",
        is_bold: true,
    };
    let center = (
        inner.x + inner.width / 2.0,
        inner.y + inner.height / 2.0 + 10.0,
    );
    svg.text(center, style, &shown);
}

/// The labels of each series, in the panel's order.
fn table(svg: &mut Svg, panel: &Value, found: &[(&str, &Series)], inner: Area) {
    let Some((_, first)) = found.first() else {
        return;
    };
    let order = panel.pointer("/transformations/0/options/indexByName");
    let mut columns: Vec<&String> = first.labels.keys().collect();
    columns.sort_by_key(|column| order.and_then(|order| order[column.as_str()].as_u64()));
    let count = u8::try_from(columns.len().max(1)).unwrap_or(u8::MAX);
    let width = inner.width / f64::from(count);
    let row = 24.0;
    let mut y = inner.y + 16.0;
    let mut x = inner.x;
    for column in &columns {
        let style = Style {
            color: FAINT,
            size: 12.0,
            ..Style::HEAD
        };
        svg.text((x, y), style, column);
        x += width;
    }
    for (at, (_, series)) in found.iter().enumerate() {
        svg.line((inner.x, y + 8.0), (inner.x + inner.width, y + 8.0), GRID);
        y += row;
        if y + row > inner.y + inner.height && at + 1 < found.len() {
            let more = format!("and {} more", found.len() - at);
            svg.text((inner.x, y), Style::SMALL, &more);
            return;
        }
        let mut x = inner.x;
        for column in &columns {
            let value = series.labels.get(*column).map_or("", String::as_str);
            svg.text((x, y), Style::PLAIN, value);
            x += width;
        }
    }
}

pub(super) fn list(value: &Value) -> &[Value] {
    value.as_array().map(Vec::as_slice).unwrap_or_default()
}

pub(super) fn text(value: &Value) -> &str {
    value.as_str().unwrap_or_default()
}
