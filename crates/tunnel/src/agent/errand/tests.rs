//! Errands over memory.

use tokio::sync::mpsc;
use tokio::task::JoinSet;

use super::*;
use crate::agent::supervise::Connected;
use crate::transport::{ByteStream, Connection, PeerRequest, RefusalCode, memory};

/// Makes memory connections and hands the peers' ends to the test.
struct Peers(mpsc::Sender<Connection>);

impl Connect for Peers {
    async fn connect(&self) -> Result<Connected, ConnectError> {
        let (connection, peer, driver) = memory::pair();
        self.0.send(peer).await.unwrap();
        let task = Box::pin(async {
            driver.run().await;
            None
        });
        Ok(Connected { connection, task })
    }
}

/// What a peer does with the stream of an errand.
enum Does {
    Answer(&'static [u8]),
    AnswerUnread(&'static [u8]),
    Refuse,
    Cut,
    TalkOn,
}

const LINE: &str = "exec true";

async fn serve(mut stream: ByteStream, does: Does) -> Vec<u8> {
    let mut got = Vec::new();
    match does {
        Does::Answer(answer) => {
            stream.read_to_end(&mut got).await.unwrap();
            stream.write_all(answer).await.unwrap();
            stream.shutdown().await.unwrap();
        }
        Does::AnswerUnread(answer) => {
            stream.write_all(answer).await.unwrap();
            stream.shutdown().await.unwrap();
        }
        Does::TalkOn => while stream.write_all(&[0; 4_096]).await.is_ok() {},
        Does::Refuse | Does::Cut => {}
    }
    got
}

async fn errand(input: &'static [u8], does: Does) -> (Result<Vec<u8>, ErrandError>, Vec<u8>) {
    let (sender, mut peers) = mpsc::channel(1);
    let mut run = JoinSet::new();
    run.spawn(async move {
        let errands = Errands::begin(&Peers(sender)).await.unwrap();
        let result = errands.run(LINE, input).await;
        errands.end().await;
        result
    });
    let mut peer = peers.recv().await.unwrap();
    let Some(PeerRequest::Open(request)) = peer.requests.recv().await else {
        panic!("no stream");
    };
    assert_eq!(request.head.kind, StreamKind::Command(LINE));
    let got = if matches!(does, Does::Refuse) {
        request
            .answer
            .refuse(RefusalCode::UnknownKind, "no commands");
        Vec::new()
    } else {
        serve(request.answer.accept(), does).await
    };
    (run.join_next().await.unwrap().unwrap(), got)
}

#[tokio::test]
async fn what_is_said_is_read_there_and_what_is_answered_is_heard() {
    let (answer, got) = errand(b"a\0b\n", Does::Answer(b"done\n")).await;
    assert_eq!(
        (answer.unwrap(), got),
        (b"done\n".to_vec(), b"a\0b\n".to_vec())
    );
}

#[tokio::test]
async fn who_answers_without_reading_is_heard() {
    static LONG: [u8; 1 << 20] = [7; 1 << 20];
    let (answer, _) = errand(&LONG, Does::AnswerUnread(b"no\n")).await;
    assert_eq!(answer.unwrap(), b"no\n");
}

#[tokio::test]
async fn a_refusal_a_cut_and_an_answer_without_end_are_told_apart() {
    let (refused, _) = errand(b"", Does::Refuse).await;
    assert!(matches!(refused, Err(ErrandError::Open(_))), "{refused:?}");
    let (cut, _) = errand(b"", Does::Cut).await;
    assert!(matches!(cut, Err(ErrandError::Cut(_))), "{cut:?}");
    let (long, _) = errand(b"", Does::TalkOn).await;
    assert!(matches!(long, Err(ErrandError::Long)), "{long:?}");
}
