use adit_store::Place;
use tracing_subscriber::layer::SubscriberExt as _;

use super::*;

fn entry(who: &str, reason: &str) -> Entry {
    let reason = (String::from("reason"), Value::from(reason));
    Entry {
        when: Timestamp::now(),
        who: String::from(who),
        what: String::from(REFUSED),
        details: Map::from_iter([reason]),
    }
}

#[tokio::test(start_paused = true)]
async fn a_refusal_that_repeats_is_kept_once_and_a_flood_of_them_not_at_all() {
    let mut refusals = Refusals::default();
    let now = Instant::now();
    assert!(refusals.is_new(&entry("key 1", "revoked"), now));
    assert!(!refusals.is_new(&entry("key 1", "revoked"), now));
    assert!(refusals.is_new(&entry("key 1", "expired"), now));
    let kept = (0..10_000)
        .filter(|number| refusals.is_new(&entry(&format!("key {number}"), "gone"), now))
        .count();
    assert_eq!(kept, REFUSALS - 2);
    let later = now + REPEATED;
    assert!(refusals.is_new(&entry("key 1", "revoked"), later));
    assert_eq!(refusals.0.len(), 1);
}

/// Everything in one test: there is one queue in a process.
#[tokio::test]
async fn what_is_told_to_the_audit_is_kept_and_what_is_too_much_is_counted() {
    let folder = tempfile::tempdir().unwrap();
    let place = Place::File(folder.path().join("data/adit.db"));
    let store = Arc::new(Store::open(place, Timestamp::now()).await.unwrap());
    let book = Book::open(Arc::clone(&store));
    let subscriber = tracing_subscriber::registry().with(layer());
    tracing::subscriber::with_default(subscriber, || {
        tracing::info!("this is for the log alone");
        tracing::info!(
            target: "adit::audit",
            what = "lease.takeover",
            who = "red001",
            holding = %"port 8080",
            was_silent = true,
            epoch = 7_u64,
            "lease was taken over"
        );
        for _ in 0..QUEUE + 5 {
            tracing::info!(target: "adit::audit", what = REFUSED, who = "key", "login was refused");
        }
    });
    // Nobody waited for any of it; refusals have half of the places, of which one was the takeover's.
    assert_eq!(counts().dropped, u64::try_from(QUEUE / 2).unwrap() + 6);
    let stop = CancellationToken::new();
    stop.cancel();
    book.run(stop).await;
    let kept = store.audit(None, 100).await.unwrap();
    assert_eq!(kept.len(), 2);
    let takeover = &kept[1];
    assert_eq!(
        (takeover.who.as_str(), takeover.what.as_str()),
        ("red001", "lease.takeover")
    );
    let details = serde_json::json!({ "holding": "port 8080", "was_silent": true, "epoch": 7 });
    assert_eq!(takeover.details, details);
    assert_eq!(counts().kept, 2);
    assert_eq!(counts().dropped, u64::try_from(QUEUE).unwrap() + 4);
}

#[test]
fn refusals_leave_half_of_the_queue_to_everything_else() {
    for (free, is_refusal_kept) in [(QUEUE, true), (QUEUE / 2, false), (0, false)] {
        assert_eq!(has_room(REFUSED, free), is_refusal_kept, "{free}");
        assert!(has_room("lease.takeover", free));
    }
}
