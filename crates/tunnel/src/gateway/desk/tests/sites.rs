//! Sites: names that are given, domains that are proved, places that serve together.

use std::collections::BTreeSet;

use adit_model::host::Name;
use adit_model::name::NameRules;

use super::*;
use crate::gateway::seam::{Later, Sites, Unproved};

/// What names there are.
#[derive(Debug)]
struct Book {
    rules: NameRules,
    proved: Mutex<BTreeSet<(PrincipalId, Name)>>,
    /// Whose record says so.
    record: Mutex<Option<PrincipalId>>,
}

impl Sites for Book {
    fn rules(&self) -> &NameRules {
        &self.rules
    }

    fn draw(&self, principal: PrincipalId, _: &[u8]) -> Vec<Name> {
        let name = |number| {
            format!("drawn{}x{number}", principal.get())
                .parse()
                .unwrap()
        };
        (0..3).map(name).collect()
    }

    fn urls(&self, name: &Name, port: u16) -> Vec<String> {
        vec![format!("{}:{port}", self.rules.host(name).unwrap())]
    }

    fn is_proved(&self, principal: PrincipalId, domain: &Name) -> bool {
        let proved = self.proved.lock().unwrap();
        proved.contains(&(principal, domain.clone()))
    }

    fn prove<'a>(
        &'a self,
        principal: PrincipalId,
        domain: &'a Name,
    ) -> Later<'a, Result<(), Unproved>> {
        Box::pin(async move {
            if *self.record.lock().unwrap() != Some(principal) {
                let reason = String::from("make a record");
                return Err(Unproved { reason });
            }
            self.proved
                .lock()
                .unwrap()
                .insert((principal, domain.clone()));
            Ok(())
        })
    }
}

/// A desk with sites at which both may do that.
fn house(grant: &Grant) -> (House, Arc<Book>) {
    let book = Arc::new(Book {
        rules: NameRules::new("gw.test", []),
        proved: Mutex::default(),
        record: Mutex::default(),
    });
    let sites = Arc::clone(&book) as Arc<dyn Sites>;
    let house = House::with(grant.clone(), |it| it.sites = Some(sites), Vec::new());
    let both = policy(&[(OWNER, grant.clone()), (STRANGER, grant.clone())]);
    house.policy.send_replace(both);
    (house, book)
}

fn asked(host: &str, port: u16) -> Bind {
    Bind::Tcp {
        host: String::from(host),
        port,
    }
}

fn drawing() -> Grant {
    Grant {
        any_name: true,
        ..Grant::default()
    }
}

async fn url(house: &House, peer: &Peer, bind: &Bind) -> String {
    let listening = house.desk.listen(&peer.member, bind).await.unwrap();
    assert_eq!(bind.port(), Some(listening.port));
    listening.urls.concat()
}

#[tokio::test(start_paused = true)]
async fn who_asks_for_no_name_has_the_same_one_each_time() {
    let (mut house, _) = house(&drawing());
    let old = house.connect(OWNER);
    let (plain, all) = (asked("localhost", 80), asked("", 80));
    assert_eq!(url(&house, &old, &plain).await, "drawn1x0.gw.test:80");
    // In the same words again it is the same forward, in others another, at the other port of a site the same name.
    assert_eq!(url(&house, &old, &plain).await, "drawn1x0.gw.test:80");
    assert_eq!(url(&house, &old, &all).await, "drawn1x1.gw.test:80");
    let passed = asked("localhost", 443);
    assert_eq!(url(&house, &old, &passed).await, "drawn1x0.gw.test:443");
    let stranger = house.connect(STRANGER);
    assert_eq!(url(&house, &stranger, &plain).await, "drawn2x0.gw.test:80");
    // Back in another order, each has its own.
    old.cut(&house);
    let back = house.connect(OWNER);
    assert_eq!(url(&house, &back, &all).await, "drawn1x1.gw.test:80");
    assert_eq!(url(&house, &back, &plain).await, "drawn1x0.gw.test:80");
    // Another machine with the same key takes nothing from one that is there, and all from one that is not.
    let twin = house.connect(OWNER);
    assert_eq!(url(&house, &twin, &plain).await, "drawn1x2.gw.test:80");
    back.freeze();
    drop(twin);
    let new = house.connect(OWNER);
    assert_eq!(url(&house, &new, &plain).await, "drawn1x2.gw.test:80");
    assert_eq!(url(&house, &new, &all).await, "drawn1x1.gw.test:80");
    // What it was given is gone with the right to be given any.
    let none = policy(&[(OWNER, Grant::default()), (STRANGER, drawing())]);
    house.policy.send_replace(none);
    wait_until(&house, |sites| {
        sites
            .iter()
            .all(|site| site.principal != PrincipalId::new(OWNER))
    })
    .await;
    assert_eq!(house.desk.sites().len(), 1);
    house.end().await;
}

async fn wait_until(house: &House, is: impl Fn(&[Site]) -> bool) {
    let mut changes = house.desk.changes();
    let met = tokio::time::timeout(Duration::from_secs(30), async {
        while !is(&house.desk.sites()) {
            changes.changed().await.unwrap();
        }
    });
    met.await.expect("the sites to be so");
}

#[tokio::test(start_paused = true)]
async fn a_pool_has_a_place_for_each_of_its_members_and_no_more() {
    let grant = Grant {
        names: vec!["app".parse().unwrap()],
        pool: Some("2".parse().unwrap()),
        ..Grant::default()
    };
    let (mut house, _) = house(&grant);
    let bind = asked("app", 80);
    let [one, two, three] = [(); 3].map(|()| house.connect(OWNER));
    assert_eq!(url(&house, &one, &bind).await, "app.gw.test:80");
    assert_eq!(url(&house, &two, &bind).await, "app.gw.test:80");
    assert_eq!(url(&house, &one, &bind).await, "app.gw.test:80");
    let holdings: Vec<_> = house
        .desk
        .sites()
        .into_iter()
        .map(|site| site.holding)
        .collect();
    let name: Name = "app".parse().unwrap();
    let both = [
        Holding::Service(name.clone(), 80),
        Holding::Member(name, 80, 1),
    ];
    assert_eq!(holdings, both);
    let refused = house.desk.listen(&three.member, &bind).await.unwrap_err();
    assert!(
        matches!(refused, Refused::NoPlaceFree { places: 2 }),
        "{refused}"
    );
    let stranger = house.connect(STRANGER);
    for port in [80, 443] {
        let refused = house
            .desk
            .listen(&stranger.member, &asked("app", port))
            .await;
        let refused = refused.unwrap_err();
        assert!(matches!(refused, Refused::InUse { .. }), "{refused}");
    }
    // A member that is gone loses its place, and it alone.
    one.freeze();
    assert_eq!(url(&house, &three, &bind).await, "app.gw.test:80");
    let sites = house.desk.sites();
    assert!(
        sites.len() == 2 && sites.iter().all(|site| site.is_here),
        "{sites:?}"
    );
    let taken = &house.desk.rows()[0];
    assert!(taken.epoch > house.desk.rows()[1].epoch);
    // A smaller pool has fewer places.
    let smaller = Grant {
        pool: None,
        ..grant
    };
    house.policy.send_replace(policy(&[(OWNER, smaller)]));
    wait_until(&house, |sites| sites.len() == 1).await;
    drop((two, stranger));
    house.end().await;
}

#[tokio::test(start_paused = true)]
async fn a_domain_is_had_by_whoever_proves_it() {
    let grant = Grant {
        own_domains: true,
        ..Grant::default()
    };
    let (mut house, book) = house(&grant);
    let (owner, stranger) = (house.connect(OWNER), house.connect(STRANGER));
    let bind = asked("Blog.example.org.", 80);
    let refused = house.desk.listen(&owner.member, &bind).await.unwrap_err();
    assert!(refused.to_string().contains("make a record"), "{refused}");
    *book.record.lock().unwrap() = Some(PrincipalId::new(OWNER));
    let refused = house
        .desk
        .listen(&stranger.member, &bind)
        .await
        .unwrap_err();
    assert!(matches!(refused, Refused::Unproved { .. }), "{refused}");
    assert_eq!(url(&house, &owner, &bind).await, "blog.example.org:80");
    // Two cannot have it, whatever the record says by now.
    *book.record.lock().unwrap() = Some(PrincipalId::new(STRANGER));
    let refused = house
        .desk
        .listen(&stranger.member, &bind)
        .await
        .unwrap_err();
    assert!(matches!(refused, Refused::InUse { .. }), "{refused}");
    // A look at the policy takes nothing that is proved, and what is not proved any more.
    let same = || policy(&[(OWNER, grant.clone()), (STRANGER, grant.clone())]);
    house.policy.send_replace(same());
    house.desk.review();
    assert_eq!(house.desk.sites().len(), 1);
    book.proved.lock().unwrap().clear();
    house.policy.send_replace(same());
    house.desk.review();
    assert_eq!(house.desk.sites().len(), 0);
    house.end().await;
}
