//! `-W`: the standard streams of this process as one end of a byte stream.

use std::fs::OpenOptions;
use std::io;
use std::os::fd::AsFd as _;
use std::pin::Pin;
use std::process::ExitCode;
use std::task::{Context, Poll, ready};

use adit_tunnel::agent::connect::SshConnect;
use adit_tunnel::agent::direct::{self, DirectError};
use adit_tunnel::agent::supervise::Peer;
use adit_tunnel::copy::Copied;
use adit_tunnel::transport::Target;
use anyhow::Context as _;
use tokio::fs::File;
use tokio::io::{AsyncRead, AsyncWrite, AsyncWriteExt as _, ReadBuf};

use super::not_connected;
use crate::signal::signalled;

/// Standard input and output, taken from the process so that each can be closed by itself.
///
/// They may be shared with other processes, whom non-blocking files would surprise, so they are read
/// and written in threads of their own.
struct Stdio {
    input: File,
    /// `None` once it was closed.
    output: Option<File>,
}

/// Carries the standard streams to `target` and back, until both have ended or a signal comes.
pub(super) fn run(target: &Target, connect: &SshConnect, peer: &Peer) -> anyhow::Result<ExitCode> {
    let mut stdio = Stdio::take().context("cannot take over the standard streams")?;
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .context("cannot start the runtime")?;
    let result = runtime.block_on(async {
        let signal = signalled()?;
        tokio::select! {
            code = signal => Ok(code),
            carried = carry(target, connect, &mut stdio) => match carried {
                Ok(copied) => {
                    copied.end.context("stream was cut off")?;
                    Ok(ExitCode::SUCCESS)
                }
                Err(DirectError::Connect(error)) => Err(not_connected(error, peer)),
                Err(error) => Err(error.into()),
            },
        }
    });
    // Somebody may never end the input that a thread waits for.
    runtime.shutdown_background();
    result
}

async fn carry(
    target: &Target,
    connect: &SshConnect,
    stdio: &mut Stdio,
) -> Result<Copied, DirectError> {
    let carried = direct::carry(connect, target.clone(), stdio).await;
    // After a cut, what had come before it; who no longer reads it has told the copy.
    drop(stdio.flush().await);
    carried
}

impl Stdio {
    /// Leaves `/dev/null` in their place.
    fn take() -> io::Result<Self> {
        let input = io::stdin().as_fd().try_clone_to_owned()?;
        let output = io::stdout().as_fd().try_clone_to_owned()?;
        let nothing = OpenOptions::new()
            .read(true)
            .write(true)
            .open("/dev/null")?;
        rustix::stdio::dup2_stdin(&nothing)?;
        rustix::stdio::dup2_stdout(&nothing)?;
        Ok(Self {
            input: std::fs::File::from(input).into(),
            output: Some(std::fs::File::from(output).into()),
        })
    }
}

impl AsyncRead for Stdio {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        Pin::new(&mut self.input).poll_read(cx, buffer)
    }
}

impl AsyncWrite for Stdio {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        match &mut self.output {
            Some(output) => Pin::new(output).poll_write(cx, bytes),
            None => Poll::Ready(Err(io::ErrorKind::BrokenPipe.into())),
        }
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match &mut self.output {
            Some(output) => Pin::new(output).poll_flush(cx),
            None => Poll::Ready(Ok(())),
        }
    }

    /// Closes the output behind what was written, so that its reader sees the end.
    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        if let Some(output) = &mut self.output {
            let flushed = ready!(Pin::new(output).poll_flush(cx));
            self.output = None;
            flushed?;
        }
        Poll::Ready(Ok(()))
    }
}
