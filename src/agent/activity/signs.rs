//! What the kernel's counters give away by themselves: which bytes are frames of a protocol's own and no
//! request or answer, and who spoke last. Pure, and without a memory.

use super::{CONTROL, DELAYED_ACK, Millis, Rules, Step};
use crate::agent::sockets::Info;

/// The mean size of a segment of control frames, two `WINDOW_UPDATE`s and TLS around them (26 + 22).
pub(super) const CONTROL_SEGMENT: u64 = 48;

/// Who reads a stream or an upload answers 4 KiB or more of it with 26 bytes of `WINDOW_UPDATE`; a request
/// makes a larger share of its turn, and so does an answer.
const CONTROL_SHARE: u64 = 128;

/// Later than this after a segment, an acknowledgement did not come with it: more than a tick of any
/// kernel, less than the shortest delay of a bare one.
const APART: u32 = 20;

/// Whether the books of a connection whose last request and last answer came within one tick look
/// like those of one that asked again at once: a request more than answers, and not answered at once;
/// or, where requests take several segments, hardly any of them answered at once.
pub(super) fn owes_one(info: &Info, rules: &Rules) -> bool {
    let late = info.bare_acks_out;
    let (requests, answers) = (info.data_segments_in, info.data_segments_out);
    late > rules.quick_acks
        && (requests == answers + 1 || (requests > answers && late * 2 >= requests))
}

/// Whether the client acknowledged bytes of ours soon after its own last ones came: we spoke last, if
/// within the same tick. (It acknowledges a keep-alive probe too, but not so soon.)
pub(super) fn has_taken_the_answer(info: &Info) -> bool {
    let later = info.received_ago.saturating_sub(info.acked_ago);
    later > APART && Millis::from(later) <= DELAYED_ACK
}

/// Whether so many bytes in so many segments can be control frames throughout.
pub(super) fn is_control(bytes: u64, segments: u32) -> bool {
    segments > 0 && bytes / u64::from(segments) <= CONTROL_SEGMENT
}

/// A stream and its client's window updates, or the `PING` that grpc-go answers a message with: small
/// each, however many of them there were since the last look.
pub(super) fn is_read_by_client(step: &Step) -> bool {
    let most = CONTROL * u64::from(step.segments_in) + step.written / CONTROL_SHARE;
    is_control(step.received, step.segments_in) && step.received <= most
}

/// An upload and its server's window updates. A short answer to a short request is no share of it.
pub(super) fn is_read_by_server(step: &Step) -> bool {
    is_control(step.written, step.segments_out)
        && step.written.saturating_mul(CONTROL_SHARE) <= step.received
}
