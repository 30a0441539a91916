//! The questions to the application on their way: a GET on a port of the pod, two seconds in all. No
//! redirect is followed, nothing of an answer is kept, and what it means is decided in
//! [`super::question`].

use std::cell::Cell;
use std::net::SocketAddr;
use std::rc::Rc;
use std::time::Duration;

use hyper::header::{
    ACCEPT, CONTENT_ENCODING, CONTENT_LENGTH, CONTENT_TYPE, HeaderMap, HeaderName,
    TRANSFER_ENCODING,
};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::task::{AbortHandle, spawn_local};
use tokio::time::timeout;

use super::activity::Millis;
use super::clock::processor_time;
use super::exposition::{End, Page};
use super::http::{HttpError, Reply, connect, get};
use super::question::{Answer, Asked, Question, Why};
use super::trouble::Trouble;

/// For one question, from connecting to the end of the answer.
const LIMIT: Duration = Duration::from_secs(2);

/// Most that is read of a page that is to answer well.
const PAGE: usize = 64 * 1024;

/// Most that is read of a Prometheus page.
const METRICS: usize = 4 * 1024 * 1024;

/// What a Prometheus page may be written in.
const FORMATS: &str =
    "text/plain;version=0.0.4,application/openmetrics-text;version=1.0.0;q=0.5,*/*;q=0.1";

/// One question that is asked again and again.
#[derive(Debug)]
pub struct Asking {
    /// The question.
    pub question: Question,
    /// What is known from the answers.
    pub known: Asked,
    /// When the last answer came.
    answered: Option<Millis>,
    /// The processor time that it took.
    cost: Duration,
    flight: Option<Flight>,
    trouble: Trouble,
}

/// A question on its way.
#[derive(Debug)]
struct Flight {
    asked: Millis,
    answer: Rc<Cell<Option<(Answer, Duration)>>>,
    task: AbortHandle,
}

impl Drop for Flight {
    fn drop(&mut self) {
        self.task.abort();
    }
}

impl Asking {
    /// A question that was never asked.
    #[must_use]
    pub fn new(question: Question) -> Self {
        Self {
            question,
            known: Asked::default(),
            answered: None,
            cost: Duration::ZERO,
            flight: None,
            trouble: Trouble::default(),
        }
    }

    /// Whether an answer is awaited.
    #[must_use]
    pub fn is_under_way(&self) -> bool {
        self.flight.is_some()
    }

    /// Takes in the answer, where it has come.
    pub fn take(&mut self, now: Millis, ignores_errors: bool) {
        let Some(flight) = &self.flight else { return };
        let Some((answer, cost)) = flight.answer.take() else {
            return;
        };
        self.known.take(answer, flight.asked, now, ignores_errors);
        self.flight = None;
        self.answered = Some(now);
        self.cost = cost;
        let error = match answer {
            Answer::Error(why) => Err(why),
            Answer::Done | Answer::NotYet(_) => Ok(()),
        };
        let doing = format!("ask for {}", self.question.name());
        self.trouble.is_over(&doing, error);
    }

    /// The processor time that the last answer took.
    #[must_use]
    pub fn cost(&self) -> Duration {
        self.cost
    }

    /// Asks, unless an answer is awaited or the last one came less than that long ago. `opened` counts
    /// connections.
    pub fn ask(&mut self, now: Millis, pause: Duration, opened: &Rc<Cell<u32>>) {
        let pause = Millis::try_from(pause.as_millis()).unwrap_or(Millis::MAX);
        let is_due = |answered: Millis| now - answered >= pause;
        if self.flight.is_some() || !self.answered.is_none_or(is_due) {
            return;
        }
        let answer = Rc::new(Cell::new(None));
        let (told, opened) = (Rc::clone(&answer), Rc::clone(opened));
        let question = self.question.clone();
        let task = spawn_local(async move {
            let before = processor_time();
            let answer = put(&question, &opened).await;
            let cost = processor_time().saturating_sub(before);
            told.set(Some((answer, cost)));
        });
        self.flight = Some(Flight {
            asked: now,
            answer,
            task: task.abort_handle(),
        });
    }
}

/// Puts a question once.
async fn put(question: &Question, opened: &Cell<u32>) -> Answer {
    let answered = async {
        match connect(question.port()).await {
            Ok((stream, address)) => {
                opened.set(opened.get().wrapping_add(1));
                answer(question, stream, address).await
            }
            Err(error) => Answer::Error(why(&error)),
        }
    };
    let answer = timeout(LIMIT, answered).await;
    answer.unwrap_or(Answer::Error(Why::TooSlow))
}

/// The answer that comes by this connection, however long it takes.
pub async fn answer(
    question: &Question,
    stream: impl AsyncRead + AsyncWrite + Unpin,
    address: SocketAddr,
) -> Answer {
    let answered = match question {
        Question::HttpGet(_) => read(question, stream, address, PAGE, |_| ())
            .await
            .map(|_| Answer::Done),
        Question::Metric(metric) => {
            let mut page = Page::new(metric);
            let end = read(question, stream, address, METRICS, |piece| page.push(piece)).await;
            end.and_then(|end| page.sum(end)).map(|sum| {
                #[expect(clippy::cast_precision_loss, reason = "a sample is no more exact")]
                let is_low = sum <= metric.at_most as f64;
                if is_low {
                    Answer::Done
                } else {
                    Answer::NotYet(Why::Above)
                }
            })
        }
    };
    match (answered, question) {
        (Ok(answer), _) => answer,
        // Another status of such a page is an answer too: the work goes on.
        (Err(why @ Why::Status(_)), Question::HttpGet(_)) => Answer::NotYet(why),
        (Err(why), _) => Answer::Error(why),
    }
}

/// Reads the page up to its end, and says how that is known.
async fn read(
    question: &Question,
    stream: impl AsyncRead + AsyncWrite + Unpin,
    address: SocketAddr,
    most: usize,
    mut take: impl FnMut(&[u8]),
) -> Result<End, Why> {
    let accept = match question {
        Question::HttpGet(_) => "*/*",
        Question::Metric(_) => FORMATS,
    };
    let to = (question.path(), address, (ACCEPT, accept));
    let mut end = End::Silence;
    let mut length = 0;
    get(stream, to, |reply| {
        match reply {
            Reply::Head(status, headers) => {
                let status = status.as_u16();
                if !(200..300).contains(&status) {
                    let is_redirect = (300..400).contains(&status);
                    return Err(if is_redirect {
                        Why::Redirect(status)
                    } else {
                        Why::Status(status)
                    });
                }
                check(headers, most)?;
                end = end_of(headers);
            }
            Reply::Piece(piece) => {
                length += piece.len();
                if length > most {
                    return Err(Why::TooLarge(most));
                }
                take(piece);
            }
        }
        Ok(())
    })
    .await
    .map_err(|error| why(&error))??;
    Ok(end)
}

/// How the end of a page will be known.
fn end_of(headers: &HeaderMap) -> End {
    if says(headers, CONTENT_TYPE, "application/openmetrics-text") {
        End::Marker
    } else if headers.contains_key(CONTENT_LENGTH) || says(headers, TRANSFER_ENCODING, "chunked") {
        End::Length
    } else {
        End::Silence
    }
}

fn check(headers: &HeaderMap, most: usize) -> Result<(), Why> {
    let length = headers
        .get(CONTENT_LENGTH)
        .and_then(|text| text.to_str().ok());
    if length.and_then(|text| text.parse().ok()) > Some(most) {
        return Err(Why::TooLarge(most));
    }
    let is_plain =
        !headers.contains_key(CONTENT_ENCODING) || says(headers, CONTENT_ENCODING, "identity");
    if is_plain { Ok(()) } else { Err(Why::Encoded) }
}

fn says(headers: &HeaderMap, name: HeaderName, beginning: &str) -> bool {
    let value = headers.get(name).and_then(|value| value.to_str().ok());
    value.is_some_and(|value| {
        let start = value.trim_start().get(..beginning.len());
        start.is_some_and(|start| start.eq_ignore_ascii_case(beginning))
    })
}

fn why(error: &HttpError) -> Why {
    match error {
        HttpError::Connect { .. } => Why::NobodyListens,
        HttpError::Build(_) => Why::Unsendable,
        HttpError::Timeout(_) => Why::TooSlow,
        HttpError::Status(status) => Why::Status(status.as_u16()),
        HttpError::Send(_) | HttpError::Tls(_) => Why::Broken,
    }
}
