//! The few shapes that a picture is made of. Numbers have one digit behind the point: enough for the eye, and the
//! same on every machine.

use std::fmt::Write as _;

pub(super) const INK: &str = "#24292e";
pub(super) const FAINT: &str = "#6a737d";
pub(super) const GRID: &str = "#e6e8eb";
pub(super) const FRAME: &str = "#d0d5db";

/// A picture that is being drawn.
#[derive(Default)]
pub(super) struct Svg {
    body: String,
}

/// Where a text stands, and how.
#[derive(Clone, Copy)]
pub(super) struct Style {
    pub(super) size: f64,
    pub(super) color: &'static str,
    pub(super) anchor: &'static str,
    pub(super) is_bold: bool,
}

impl Style {
    pub(super) const SMALL: Self = Self {
        size: 11.0,
        color: FAINT,
        anchor: "start",
        is_bold: false,
    };
    pub(super) const PLAIN: Self = Self {
        size: 12.0,
        color: INK,
        anchor: "start",
        is_bold: false,
    };
    pub(super) const HEAD: Self = Self {
        size: 13.0,
        color: INK,
        anchor: "start",
        is_bold: true,
    };

    pub(super) fn anchored(self, anchor: &'static str) -> Self {
        Self { anchor, ..self }
    }

    /// About how wide a text is: fonts differ, so rather too wide.
    pub(super) fn width(self, text: &str) -> f64 {
        let letters = u32::try_from(text.chars().count()).unwrap_or(u32::MAX);
        f64::from(letters) * self.size * if self.is_bold { 0.64 } else { 0.58 }
    }
}

/// A point.
pub(super) type Point = (f64, f64);

/// A corner, a width and a height.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Area {
    pub(super) x: f64,
    pub(super) y: f64,
    pub(super) width: f64,
    pub(super) height: f64,
}

impl Svg {
    pub(super) fn text(&mut self, (x, y): Point, style: Style, text: &str) {
        let Style {
            size,
            color,
            anchor,
            is_bold,
        } = style;
        let weight = if is_bold { " font-weight=\"600\"" } else { "" };
        let text = escaped(text);
        let _ = writeln!(
            self.body,
            "<text x=\"{x:.1}\" y=\"{y:.1}\" font-size=\"{size}\" fill=\"{color}\" text-anchor=\"{anchor}\"{weight}>{text}</text>"
        );
    }

    pub(super) fn frame(&mut self, area: Area) {
        let Area {
            x,
            y,
            width,
            height,
        } = area;
        let _ = writeln!(
            self.body,
            "<rect x=\"{x:.1}\" y=\"{y:.1}\" width=\"{width:.1}\" height=\"{height:.1}\" rx=\"3\" fill=\"#fff\" stroke=\"{FRAME}\"/>"
        );
    }

    pub(super) fn block(&mut self, (x, y): Point, (width, height): Point, color: &str) {
        let _ = writeln!(
            self.body,
            "<rect x=\"{x:.1}\" y=\"{y:.1}\" width=\"{width:.1}\" height=\"{height:.1}\" fill=\"{color}\"/>"
        );
    }

    pub(super) fn line(&mut self, (x1, y1): Point, (x2, y2): Point, color: &str) {
        let _ = writeln!(
            self.body,
            "<line x1=\"{x1:.1}\" y1=\"{y1:.1}\" x2=\"{x2:.1}\" y2=\"{y2:.1}\" stroke=\"{color}\"/>"
        );
    }

    pub(super) fn dot(&mut self, (x, y): Point, color: &str) {
        let _ = writeln!(
            self.body,
            "<circle cx=\"{x:.1}\" cy=\"{y:.1}\" r=\"2.5\" fill=\"{color}\"/>"
        );
    }

    pub(super) fn curve(&mut self, points: &[Point], color: &str) {
        let path = path(points);
        let _ = writeln!(
            self.body,
            "<path d=\"{path}\" fill=\"none\" stroke=\"{color}\" stroke-width=\"1.6\" stroke-linejoin=\"round\"/>"
        );
    }

    pub(super) fn fill(&mut self, points: &[Point], color: &str) {
        let path = path(points);
        let _ = writeln!(
            self.body,
            "<path d=\"{path}Z\" fill=\"{color}\" fill-opacity=\"0.6\"/>"
        );
    }

    /// The whole file, with what it says to those who do not see it.
    pub(super) fn finished(self, width: f64, height: f64, title: &str) -> String {
        let title = escaped(title);
        format!(
            "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {width:.0} {height:.0}\" width=\"{width:.0}\" height=\"{height:.0}\" font-family=\"Inter, Helvetica, Arial, sans-serif\" role=\"img\">\n\
             <title>{title}</title>\n\
             <rect width=\"{width:.0}\" height=\"{height:.0}\" fill=\"#f6f7f9\"/>\n\
             {}</svg>\n",
            self.body
        )
    }
}

fn path(points: &[Point]) -> String {
    let mut path = String::new();
    for (x, y) in points {
        let sign = if path.is_empty() { 'M' } else { 'L' };
        let _ = write!(path, "{sign}{x:.1} {y:.1}");
    }
    path
}

fn escaped(text: &str) -> String {
    let text = text.replace('&', "&amp;");
    text.replace('<', "&lt;").replace('>', "&gt;")
}
