//! What the application is told of a drain: that it began (`POST`) or was cancelled (`DELETE`). Told
//! up to three times; one that is dropped tells nothing more, for a late try would reach the
//! application behind what it is told next.

use std::cell::Cell;
use std::rc::Rc;
use std::time::Duration;

use hyper::Method;
use tokio::task::{AbortHandle, spawn_local};
use tokio::time::sleep;

use super::chain;
use super::drain::Notice;
use super::http::notify;
use crate::api::v1alpha1::Notify;

const TRIES: u32 = 3;

/// Between two tries.
const PAUSE: Duration = Duration::from_secs(1);

/// One notice on its way.
#[derive(Debug)]
pub struct Announcement {
    notice: Rc<Cell<Notice>>,
    task: AbortHandle,
}

impl Announcement {
    /// Begins to tell.
    #[must_use]
    pub fn begin(to: Notify, method: Method) -> Self {
        let notice = Rc::new(Cell::new(Notice::Pending));
        let told = Rc::clone(&notice);
        let task = spawn_local(async move {
            for _ in 0..TRIES {
                match notify(&to.http_post, method.clone()).await {
                    Ok(_) => return told.set(Notice::Delivered),
                    Err(error) => {
                        eprintln!("notify the application by {method}: {}", chain(&error));
                        told.set(Notice::Failed);
                    }
                }
                sleep(PAUSE).await;
            }
        });
        Self {
            notice,
            task: task.abort_handle(),
        }
    }

    /// How far it has got: failed from the first try on that did.
    #[must_use]
    pub fn notice(&self) -> Notice {
        self.notice.get()
    }
}

impl Drop for Announcement {
    fn drop(&mut self) {
        self.task.abort();
    }
}
