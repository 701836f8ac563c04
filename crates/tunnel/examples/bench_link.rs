//! The network of `cargo xtask bench`: two hosts with a long or a bad line between them.
//!
//! Makes two network namespaces and a link, prints `LEFT-NAME LEFT-ADDR RIGHT-NAME RIGHT-ADDR` on
//! stdout, and takes all down when its stdin ends. Root alone can do that.
//!
//! Lines on stdin do something to the link: `dark` lets nothing arrive any more, `light` ends that, and
//! `move` gives the left host another address. Each is repeated on stdout when it is done.
//!
//! `--delay-ms N --loss-per-million N --bytes-per-second N --queue-bytes N [--tcp-wmem BYTES]`
#![forbid(unsafe_code)]
#![expect(
    clippy::print_stdout,
    reason = "the names are what the one who starts it waits for"
)]

use std::time::Duration;

use adit_testkit::link::{End, Impairment, Link, Rate};
use adit_testkit::namespace::Namespace;

use crate::arguments::{Arguments, Failure};

mod arguments;

/// Losses are the same in every run.
const SEED: u64 = 0x0ad1_7000;

fn main() -> Result<(), Failure> {
    let arguments = Arguments::read(&[
        "delay-ms",
        "loss-per-million",
        "bytes-per-second",
        "queue-bytes",
        "tcp-wmem",
    ])?;
    let (left, right) = (Namespace::new(), Namespace::new());
    if let Some(bytes) = arguments.find::<u64>("tcp-wmem")? {
        for namespace in [&left, &right] {
            set_send_buffer(namespace, bytes)?;
        }
    }
    let mut link = Link::new(&left, &right, SEED);
    link.set_both(Impairment {
        delay: Duration::from_millis(arguments.need("delay-ms")?),
        loss_per_million: arguments.need("loss-per-million")?,
        rate: Some(Rate {
            bytes_per_second: arguments.need("bytes-per-second")?,
            queue_bytes: arguments.need("queue-bytes")?,
        }),
        ..Impairment::default()
    });
    println!(
        "{} {} {} {}",
        left.name(),
        link.ip(End::Left),
        right.name(),
        link.ip(End::Right)
    );
    for word in std::io::stdin().lines() {
        let word = word?;
        match word.as_str() {
            "dark" => link.blackout_both(),
            "light" => link.restore(),
            "move" => link.change_address(End::Left),
            _ => return Err(format!("not dark, light or move: {word}").into()),
        }
        println!("{word}");
    }
    drop(link);
    Ok(())
}

/// The most that TCP keeps to send, which on a long line bounds what is underway.
fn set_send_buffer(namespace: &Namespace, bytes: u64) -> Result<(), Failure> {
    let setting = format!("4096 65536 {bytes}");
    namespace.enter(|| std::fs::write("/proc/sys/net/ipv4/tcp_wmem", setting))?;
    Ok(())
}
