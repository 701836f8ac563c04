//! The same faults on the way through a bastion.

use super::*;

/// Nobody tells the host that the tunnel is gone: the bastion does, once it hears of it itself. A socket that was
/// closed in the dark would say so much later, at the next of its repetitions, which come ever less often.
#[test]
fn through_a_bastion_the_port_is_back_at_once_after_a_dark_line() {
    require!(root);
    require!("ip", "nsenter", "unshare", "sshd", "ssh-keygen");
    let lab = Lab::start(&Plan {
        has_hop: true,
        ..Plan::default()
    });
    lab.ups(1);
    lab.dark(Duration::from_secs(15));
    assert_eq!(
        lab.sshd.connection_count(),
        1,
        "the host has noticed nothing"
    );
    let start = now();
    lab.link.restore();
    let took = lab.back("dark line before a bastion", start);
    assert!(took < 3.0, "{took} s");
    assert_eq!(lab.logins(), 2, "{}", lab.sshd.log());
    for sshd in [Some(&lab.sshd), lab.hop.as_ref()].into_iter().flatten() {
        wait::until("the end of the old session", || {
            match sshd.connection_count() {
                1 => Ok(()),
                other => Err(other),
            }
        });
    }
}
