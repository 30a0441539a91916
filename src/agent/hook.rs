//! The user's own preStop hook, run after ours as the kubelet would have run it.

use std::ffi::OsString;
use std::os::unix::process::CommandExt;
use std::process::{Command, ExitCode};
use std::time::Duration;

use http_body_util::Empty;
use hyper::Request;
use hyper::body::Bytes;
use serde::Deserialize;
use tokio::time::{sleep, timeout};

use super::http::{HttpError, connect, connect_to, exchange};

/// How long an httpGet hook may take; the grace period bounds it in any case.
const PATIENCE: Duration = Duration::from_secs(30);

/// The user's own hook.
#[derive(Clone, Debug, PartialEq)]
pub enum Hook {
    /// There is none.
    None,
    /// A command: it takes this process's place.
    Exec(Vec<OsString>),
    /// A GET request.
    HttpGet(Box<HttpGet>),
    /// A pause.
    Sleep(u64),
}

/// `lifecycle.preStop.httpGet`, as in the pod's spec; the port is a number here.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct HttpGet {
    /// Host to connect to; the pod itself where absent.
    #[serde(default)]
    pub host: Option<String>,
    /// Port.
    pub port: u16,
    /// Path, and query if any.
    #[serde(default)]
    pub path: Option<String>,
    /// `HTTP` or `HTTPS`.
    #[serde(default)]
    pub scheme: Option<String>,
    /// Headers to send.
    #[serde(default)]
    pub http_headers: Vec<Header>,
}

/// A header of an [`HttpGet`].
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
pub struct Header {
    /// Its name.
    pub name: String,
    /// Its value.
    #[serde(default)]
    pub value: String,
}

impl Hook {
    /// Runs the hook; its exit status is the result. Like the kubelet, takes 400 and above for a
    /// failure of an httpGet.
    pub async fn run(self) -> ExitCode {
        match self {
            Self::None => ExitCode::SUCCESS,
            Self::Sleep(seconds) => {
                sleep(Duration::from_secs(seconds)).await;
                ExitCode::SUCCESS
            }
            Self::Exec(words) => {
                let mut words = words.into_iter();
                let Some(program) = words.next() else {
                    return ExitCode::SUCCESS;
                };
                let error = Command::new(&program).args(words).exec();
                eprintln!("run {}: {error}", program.display());
                // What a shell says of a command that it cannot run.
                ExitCode::from(127)
            }
            Self::HttpGet(get) => match timeout(PATIENCE, get.send()).await {
                Ok(Ok(())) => ExitCode::SUCCESS,
                Ok(Err(error)) => {
                    eprintln!("httpGet: {error}");
                    ExitCode::FAILURE
                }
                Err(_) => {
                    eprintln!("httpGet: no answer within {} s", PATIENCE.as_secs());
                    ExitCode::FAILURE
                }
            },
        }
    }
}

impl HttpGet {
    async fn send(&self) -> Result<(), HttpError> {
        let (stream, address) = match self.host.as_deref() {
            None | Some("") => connect(self.port).await?,
            Some(host) => connect_to(host, self.port).await?,
        };
        let path = self.path.as_deref().unwrap_or_default();
        let slash = if path.starts_with('/') { "" } else { "/" };
        let mut request = Request::get(format!("{slash}{path}"));
        let named = |wanted: &str| {
            let is = |header: &&Header| header.name.eq_ignore_ascii_case(wanted);
            self.http_headers.iter().find(is)
        };
        if named("host").is_none() {
            let host = self.host.clone().filter(|host| !host.is_empty());
            let host = host.map_or(address.to_string(), |host| format!("{host}:{}", self.port));
            request = request.header("Host", host);
        }
        if named("user-agent").is_none() {
            request = request.header("User-Agent", "kube-lifecycle/graceful");
        }
        for header in &self.http_headers {
            request = request.header(&header.name, &header.value);
        }
        let request = request.body(Empty::<Bytes>::new())?;
        let status = exchange(stream, request).await?;
        if status.as_u16() >= 400 {
            return Err(HttpError::Status(status));
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn http_get_reads_as_in_the_pods_spec() {
        let text = r#"{"port":8080,"path":"/bye","scheme":"HTTP",
            "httpHeaders":[{"name":"X-A","value":"b"}]}"#;
        let get: HttpGet = serde_json::from_str(text).unwrap();
        assert_eq!((get.port, get.path.as_deref()), (8080, Some("/bye")));
        assert_eq!(get.http_headers[0].value, "b");
        assert_eq!(get.host, None);
    }
}
