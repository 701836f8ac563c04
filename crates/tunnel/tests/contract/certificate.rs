//! What a certificate holds a login to, over sockets that have addresses and over pipes that have
//! none. The owner accepts everything, so that what is refused is refused by the loop and the engine.

use adit_ssh::provider::aws_lc;
use adit_ssh::wire::Write as _;
use adit_tunnel::transport::ssh::{Carrier, Memory, accept, connect};
use adit_tunnel::transport::{Bind, ForwardError, OpenError, RefusalCode};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinSet;

use crate::acceptor::head;
use crate::login;

/// A certificate for the user's key that names those addresses, and does not permit forwarding.
fn certificate(addresses: &str) -> Vec<u8> {
    let user = login::user_key();
    let authority = aws_lc::sign::ed25519(&[3; 32]).unwrap();
    let mut list = Vec::new();
    list.put_string(addresses.as_bytes());
    let mut critical = Vec::new();
    critical.put_string(b"source-address");
    critical.put_string(&list);
    let mut blob = Vec::new();
    blob.put_string(b"ssh-ed25519-cert-v01@openssh.com");
    blob.put_string(&[0; 32]); // nonce
    let key = user.public_key().blob();
    blob.put_bytes(&key[key.len() - 36..]); // the point, without the name of the type
    blob.put_uint64(1); // serial
    blob.put_uint32(1); // a user's
    blob.put_string(b"key id");
    blob.put_string(b"\0\0\0\x08contract");
    blob.put_uint64(0);
    blob.put_uint64(2_000_000_000);
    blob.put_string(&critical);
    blob.put_string(b""); // extensions
    blob.put_string(b""); // reserved
    blob.put_string(authority.public_key().blob());
    let signature = authority.sign(authority.algorithms()[0], &blob).unwrap();
    blob.put_string(&signature);
    blob
}

/// Lets a client with that certificate come in. If it may, its wishes to forward are refused.
async fn is_let_in(addresses: &str, client: impl Carrier, server: impl Carrier) -> bool {
    let memory = Memory::of_this_machine();
    let client_config = login::client_showing("contract", &certificate(addresses), &memory);
    let (server_config, mut open) = login::server(&memory);
    let mut trusting = login::Trusting(login::user_key());
    let near = connect(client, client_config, memory.clone(), &mut trusting);
    let far = accept(server, &server_config, memory, &mut open);
    let (near, far) = tokio::join!(near, far);
    let (Ok((near, near_driver)), Ok((_far, far_driver))) = (near, far) else {
        return false;
    };
    assert!(near_driver.restrictions().is_none());
    let restrictions = far_driver.restrictions().unwrap();
    assert_eq!(restrictions.expires(), Some(2_000_000_000));
    let wishes = async {
        let (host, port) = (String::from("localhost"), 0);
        let forward = near.transport.forward(Bind::Tcp { host, port }).await;
        assert_eq!(forward, Err(ForwardError::Refused));
        let stream = near.transport.open(head(1)).await.map(drop);
        let code = RefusalCode::Prohibited;
        assert!(matches!(stream, Err(OpenError::Refused { code: told, .. }) if told == code));
    };
    tokio::select! {
        () = wishes => true,
        end = near_driver.run() => panic!("{end}"),
        end = far_driver.run() => panic!("{end}"),
    }
}

#[tokio::test]
async fn s58_a_certificate_is_held_against_the_address_of_the_socket() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let addr = listener.local_addr().unwrap();
    let mut tasks = JoinSet::new();
    for (addresses, is_good) in [
        ("127.0.0.1", true),
        ("192.0.2.0/24,127.0.0.0/8", true),
        ("192.0.2.0/24", false),
        ("", false),
    ] {
        let (client, server) = tokio::join!(TcpStream::connect(addr), listener.accept());
        let (client, (server, _)) = (client.unwrap(), server.unwrap());
        tasks.spawn(async move {
            let is_in = Box::pin(is_let_in(addresses, client, server)).await;
            assert_eq!(is_in, is_good, "{addresses:?}");
        });
        let (client, server) = tokio::io::duplex(100_000);
        tasks.spawn(async move {
            let is_in = Box::pin(is_let_in(addresses, client, server)).await;
            assert!(!is_in, "a pipe comes from nowhere");
        });
    }
    while let Some(ended) = tasks.join_next().await {
        ended.unwrap();
    }
}
