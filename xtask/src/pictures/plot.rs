//! Series over time: lines, or areas on top of each other. A value that is not there is a gap, and one that
//! stands alone is a dot, as Grafana has it.

use super::scale::{Unit, moments, ticks};
use super::svg::{Area, GRID, Point, Style, Svg};

const COLORS: [&str; 10] = [
    "#2f6fd0", "#e0752d", "#3f9142", "#a352cc", "#d6304a", "#b58b00", "#14919b", "#8a5a44",
    "#e05ca8", "#5b6670",
];

/// Of one line of a legend.
const LEGEND: f64 = 17.0;

/// More would leave nothing of the plot.
const LEGEND_LINES: usize = 3;

/// Named values, one at each step.
pub(super) struct Named {
    pub(super) name: String,
    pub(super) values: Vec<Option<f64>>,
}

/// How values are shown.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Marks {
    Lines,
    Dots,
    /// On top of each other.
    Areas,
    Bars,
}

/// All that a plot shows.
pub(super) struct Plot<'a> {
    pub(super) series: &'a [Named],
    pub(super) unit: Unit,
    pub(super) marks: Marks,
    pub(super) from: i64,
    pub(super) to: i64,
    pub(super) step: i64,
}

/// What a value and a moment are in the picture.
struct Place {
    area: Area,
    greatest: f64,
    from: f64,
    length: f64,
}

impl Place {
    fn x(&self, at: f64) -> f64 {
        self.area.x + (at - self.from) / self.length * self.area.width
    }

    fn y(&self, value: f64) -> f64 {
        self.area.y + self.area.height * (1.0 - value / self.greatest)
    }
}

impl Plot<'_> {
    pub(super) fn draw(&self, svg: &mut Svg, inner: Area) {
        let lines = legend_lines(self.series, inner.width);
        let bands = self.bands();
        let tops = bands.iter().flatten().filter_map(|band| *band);
        let greatest = tops.map(|(_, top)| top).fold(0.0, f64::max);
        let ticks = ticks(greatest, self.unit);
        let labels = ticks.iter().map(|(_, label)| Style::SMALL.width(label));
        let left = labels.fold(24.0, f64::max) + 8.0;
        let below = 22.0 + LEGEND * small(lines.len());
        let place = Place {
            area: Area {
                x: inner.x + left,
                y: inner.y + 6.0,
                width: inner.width - left - 6.0,
                height: inner.height - below - 10.0,
            },
            greatest: ticks.last().map_or(1.0, |(value, _)| *value),
            from: seconds(self.from),
            length: seconds(self.to - self.from),
        };
        self.axes(svg, &place, &ticks);
        for (band, color) in bands.iter().zip(COLORS.iter().cycle()) {
            self.series(svg, &place, band, color);
        }
        legend(
            svg,
            &lines,
            (inner.x, inner.y + inner.height - below + 32.0),
        );
    }

    fn axes(&self, svg: &mut Svg, place: &Place, ticks: &[(f64, String)]) {
        let Area { x, width, .. } = place.area;
        let bottom = place.y(0.0);
        for (value, label) in ticks {
            let y = place.y(*value);
            svg.line((x, y), (x + width, y), GRID);
            svg.text((x - 6.0, y + 4.0), Style::SMALL.anchored("end"), label);
        }
        for (at, label) in moments(self.from, self.to) {
            let x = place.x(seconds(at));
            svg.line((x, place.area.y), (x, bottom), GRID);
            svg.text((x, bottom + 18.0), Style::SMALL.anchored("middle"), &label);
        }
    }

    /// Bottom and top of each series at each step.
    fn bands(&self) -> Vec<Vec<Option<Point>>> {
        let mut heights: Vec<f64> = Vec::new();
        let mut bands = Vec::new();
        for series in self.series {
            heights.resize(heights.len().max(series.values.len()), 0.0);
            let band = series
                .values
                .iter()
                .zip(&mut heights)
                .map(|(value, height)| {
                    let value = (*value)?;
                    let is_stacked = matches!(self.marks, Marks::Areas | Marks::Bars);
                    let bottom = if is_stacked { *height } else { 0.0 };
                    *height = bottom + value;
                    Some((bottom, bottom + value))
                });
            bands.push(band.collect());
        }
        bands
    }

    fn series(&self, svg: &mut Svg, place: &Place, band: &[Option<Point>], color: &str) {
        let moments = (0..).map(|number| seconds(self.from + number * self.step));
        let points: Vec<Option<(Point, Point)>> = moments
            .zip(band)
            .map(|(at, values)| {
                let (bottom, top) = (*values)?;
                let x = place.x(at);
                Some(((x, place.y(bottom)), (x, place.y(top))))
            })
            .collect();
        match self.marks {
            Marks::Dots => {
                for (_, top) in points.iter().flatten() {
                    svg.dot(*top, color);
                }
            }
            Marks::Bars => {
                let width = place.x(seconds(self.from + self.step)) - place.area.x;
                for ((x, bottom), (_, top)) in points.iter().flatten() {
                    let corner = (x - width / 2.0, *top);
                    svg.block(corner, (width * 0.9, bottom - top), color);
                }
            }
            Marks::Lines | Marks::Areas => {
                for run in points.split(Option::is_none) {
                    let run: Vec<_> = run.iter().filter_map(|one| *one).collect();
                    self.run(svg, &run, color);
                }
            }
        }
    }

    /// Values without a gap between them.
    fn run(&self, svg: &mut Svg, run: &[(Point, Point)], color: &str) {
        let tops: Vec<Point> = run.iter().map(|(_, top)| *top).collect();
        match tops.as_slice() {
            [] => {}
            [alone] => svg.dot(*alone, color),
            _ if self.marks == Marks::Areas => {
                let bottoms: Vec<Point> = run.iter().rev().map(|(bottom, _)| *bottom).collect();
                let outline = [thinned(&tops), thinned(&bottoms)].concat();
                svg.fill(&outline, color);
            }
            _ => svg.curve(&thinned(&tops), color),
        }
    }
}

/// Without points in the middle of a level stretch, which show nothing.
fn thinned(points: &[Point]) -> Vec<Point> {
    let mut kept: Vec<Point> = Vec::new();
    for (at, point) in points.iter().enumerate() {
        let is_level =
            |other: Option<&Point>| other.is_some_and(|other| (other.1 - point.1).abs() < 0.01);
        let before = at.checked_sub(1).and_then(|at| points.get(at));
        if !(is_level(before) && is_level(points.get(at + 1))) {
            kept.push(*point);
        }
    }
    kept
}

/// Names with their colours, in lines that fit.
fn legend_lines(series: &[Named], width: f64) -> Vec<Vec<(String, &'static str)>> {
    let mut lines: Vec<Vec<(String, &'static str)>> = vec![Vec::new()];
    let mut used = 0.0;
    let mut left = series.len();
    for (one, color) in series.iter().zip(COLORS.iter().cycle()) {
        let needs = entry_width(&one.name);
        if used + needs > width && used > 0.0 {
            if lines.len() == LEGEND_LINES {
                break;
            }
            lines.push(Vec::new());
            used = 0.0;
        }
        used += needs;
        left -= 1;
        if let Some(line) = lines.last_mut() {
            line.push((one.name.clone(), color));
        }
    }
    if left > 0
        && let Some((name, _)) = lines.last_mut().and_then(|line| line.last_mut())
    {
        *name = format!("and {} more", left + 1);
    }
    lines
}

fn entry_width(name: &str) -> f64 {
    Style::SMALL.width(name) + 32.0
}

fn legend(svg: &mut Svg, lines: &[Vec<(String, &'static str)>], (left, top): Point) {
    let mut y = top;
    for line in lines {
        let mut x = left;
        for (name, color) in line {
            svg.block((x, y - 6.0), (12.0, 4.0), color);
            svg.text((x + 17.0, y), Style::SMALL, name);
            x += entry_width(name);
        }
        y += LEGEND;
    }
}

fn small(count: usize) -> f64 {
    u8::try_from(count).map_or(255.0, f64::from)
}

/// Seconds of this century fit.
fn seconds(at: i64) -> f64 {
    i32::try_from(at).map_or(f64::NAN, f64::from)
}
