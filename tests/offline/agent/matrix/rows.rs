//! What the agent makes of each kind of connection: the expectations of the tests beside this file, and
//! the tables of docs/connections.md, which `cargo xtask generate` writes from here. Data alone; how the
//! bytes go is in the test of a row's name.

// By its path: xtask takes this file in from elsewhere.
#[path = "rows/http.rs"]
mod http;

use http::{EVENTS, HTTP1, HTTP2, WEBSOCKET};

/// One kind of connection, once it has been as it is for the quiet time.
pub(crate) struct Row {
    /// The test that holds it.
    pub(crate) test: &'static str,
    /// What goes over the wire.
    pub(crate) wire: &'static str,
    /// All that the agent calls it meanwhile.
    pub(crate) called: &'static [Called],
    /// Whether a drain waits for it.
    pub(crate) holds: bool,
    /// With `keepAlive: Wait` instead of `Finish`.
    pub(crate) waits: bool,
    /// What a pod with such connections wants beside the default.
    pub(crate) wants: &'static str,
}

/// What the agent calls a connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Called {
    Busy,
    Idle,
    Cycling,
    Unresponsive,
    /// It is closed.
    Gone,
    /// The kernel's table of TCP sockets does not have it.
    Unseen,
}

impl Called {
    /// Its word in the docs.
    pub(crate) fn word(self) -> &'static str {
        match self {
            Self::Busy => "busy",
            Self::Idle => "idle",
            Self::Cycling => "cycling",
            Self::Unresponsive => "unresponsive",
            Self::Gone => "gone",
            Self::Unseen => "not seen",
        }
    }
}

/// Rows that belong together.
pub(crate) struct Family {
    pub(crate) name: &'static str,
    pub(crate) rows: &'static [Row],
}

const fn row(
    test: &'static str,
    wire: &'static str,
    called: &'static [Called],
    wants: &'static str,
) -> Row {
    let holds = matches!(called, [Called::Busy]);
    Row {
        test,
        wire,
        called,
        holds,
        waits: false,
        wants,
    }
}

/// A row of `keepAlive: Wait`, which holds whatever the connection is called.
const fn waiting(test: &'static str, wire: &'static str, called: &'static [Called]) -> Row {
    Row {
        holds: true,
        waits: true,
        ..row(test, wire, called, TO_THE_END)
    }
}

use Called::{Busy, Cycling, Idle, Unresponsive, Unseen};

const NOTHING: &str = "nothing";
const TO_THE_END: &str = "clients that leave by themselves, or `notify` to make them";
const RACE: &str = "`notify`, to close it between two requests";
const GOODBYE: &str = "`notify`, to say goodbye; else it lasts until the deadline";
const SILENT: &str = "`notify` to say goodbye, or `httpGet` or `metric` to count it, or `Wait`";
const LIKE_REQUESTS: &str = "`notify` to say goodbye, or `metric` to count it, or `Wait`";
const LET_GO: &str = "nothing: let go after `unresponsiveSeconds`, and reported";

/// All rows, in the order of the page.
pub(crate) const FAMILIES: &[Family] = &[
    Family {
        name: "HTTP/1.1",
        rows: HTTP1,
    },
    Family {
        name: "Server-sent events",
        rows: EVENTS,
    },
    Family {
        name: "WebSocket",
        rows: WEBSOCKET,
    },
    Family {
        name: "HTTP/2 and gRPC",
        rows: HTTP2,
    },
    Family {
        name: "Raw TCP",
        rows: RAW,
    },
    Family {
        name: "Large transfers",
        rows: TRANSFERS,
    },
    Family {
        name: "TLS",
        rows: TLS,
    },
    Family {
        name: "With `keepAlive: Wait`",
        rows: WAIT,
    },
    Family {
        name: "Out of sight",
        rows: OUT_OF_SIGHT,
    },
];

const RAW: &[Row] = &[
    row(
        "queries_and_answers_are_cycling",
        "queries and answers (Redis, PostgreSQL)",
        &[Cycling],
        "a client's pool that connects anew, or `notify`",
    ),
    row(
        "silent_subscription_is_idle",
        "a subscription without news",
        &[Idle],
        SILENT,
    ),
    row(
        "feed_to_the_client_is_busy",
        "a feed from the server to the client",
        &[Busy],
        GOODBYE,
    ),
    row(
        "feed_from_the_client_is_busy",
        "a feed from the client to the server (logs), never answered",
        &[Busy],
        GOODBYE,
    ),
    row(
        "feed_that_rests_turns_unresponsive",
        "the same, silent for `unresponsiveSeconds`",
        &[Unresponsive],
        LET_GO,
    ),
];

const TRANSFERS: &[Row] = &[
    row("upload_is_busy", "an upload", &[Busy], NOTHING),
    row(
        "upload_in_rare_pieces_is_busy",
        "an upload in pieces, with pauses above the quiet time",
        &[Busy],
        NOTHING,
    ),
    row(
        "upload_that_nobody_reads_turns_unresponsive",
        "an upload that the app does not read",
        &[Unresponsive],
        LET_GO,
    ),
    row(
        "download_by_a_slow_client_is_busy",
        "a download by a slow client",
        &[Busy],
        NOTHING,
    ),
    row(
        "download_that_the_app_has_closed_is_busy",
        "the same, all written and closed by the app: the kernel still sends",
        &[Busy],
        NOTHING,
    ),
    row(
        "download_that_nobody_reads_turns_unresponsive",
        "a download by a client that reads no more",
        &[Unresponsive],
        LET_GO,
    ),
];

const TLS: &[Row] = &[
    row(
        "tls_connection_after_its_handshake_is_idle",
        "a handshake and its session tickets, nothing else",
        &[Idle],
        RACE,
    ),
    row(
        "tls_connection_after_an_answer_is_idle",
        "a kept connection after its last answer",
        &[Idle],
        RACE,
    ),
    row(
        "tls_short_requests_are_cycling",
        "short requests on a kept connection",
        &[Cycling],
        RACE,
    ),
    row(
        "tls_slow_request_is_busy",
        "a slow request",
        &[Busy],
        NOTHING,
    ),
    row(
        "tls_events_in_short_gaps_are_busy",
        "events several times within the quiet time",
        &[Busy],
        GOODBYE,
    ),
    row(
        "tls_pool_after_a_late_window_update_turns_unresponsive",
        "an HTTP/2 pool whose last frame is a late `WINDOW_UPDATE` of the client, no smaller than a request",
        &[Unresponsive],
        "`notify`, to send GOAWAY; else let go after `unresponsiveSeconds`",
    ),
    row(
        "tls_rare_pings_leave_a_pool_idle_in_between",
        "an HTTP/2 pool with `PING`s, more rarely than the quiet time",
        &[Idle, Cycling],
        NOTHING,
    ),
];

const WAIT: &[Row] = &[
    waiting(
        "kept_connection_is_waited_for",
        "a kept connection after its last answer",
        &[Idle],
    ),
    waiting(
        "quiet_websocket_is_waited_for",
        "a WebSocket without messages",
        &[Idle],
    ),
    waiting(
        "chatty_websocket_is_waited_for",
        "a WebSocket with messages and answers to them",
        &[Cycling],
    ),
];

const OUT_OF_SIGHT: &[Row] = &[
    row(
        "datagrams_are_not_seen",
        "UDP, and so QUIC and HTTP/3",
        &[Unseen],
        "`httpGet` or `metric`, and `withdraw: Termination` (`Auto` chooses it for Services with UDP ports)",
    ),
    row(
        "unix_sockets_are_not_seen",
        "Unix sockets, as between an app and a proxy beside it",
        &[Unseen],
        "`httpGet` or `metric`, or the proxy's own connections, which are seen",
    ),
];
