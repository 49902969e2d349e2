use std::{
    net::SocketAddr,
    sync::{Arc, atomic::Ordering},
    time::Duration,
};

use alloy::primitives::{Address, B256};
use reqwest::{Client, StatusCode};
use serde_json::Value;
use vouch_data::{
    consent::{Consents, Purpose, Registry},
    dataset::{Facts, Library, Published},
    serve::{Access, Page, Server, Signed, router},
};
use vouch_wallet::Wallet;

use crate::support::{SECOND, World, document};

struct Serving {
    world: World,
    registry: Registry,
    published: Published,
    url: String,
    client: Client,
    _keys: tempfile::TempDir,
}

async fn serving() -> Serving {
    let world = World::new().await;
    world.time.store(world.now().await * SECOND, Ordering::Relaxed);
    let keys = tempfile::tempdir().unwrap();
    let library = Library::new(keys.path(), "");
    let documents: Vec<_> =
        (0..5).map(|n| document(&format!("{n}.txt"), &format!("Document number {n}."))).collect();
    let describe = |facts| Facts { licence: "CC0-1.0".into(), ..facts };
    let published = library.add(world.owner.address(), "five", &documents, describe).unwrap();
    let at = world.economy.consent;
    let registry = Registry::new(&world.provider, at, &world.owner).unwrap();
    registry.publish(published.root, published.card.hash().unwrap()).await.unwrap();

    let age = Duration::from_secs(10);
    let consents = Arc::new(Consents::new(world.provider.clone(), at, world.clock(), age));
    let listener =
        tokio::net::TcpListener::bind(SocketAddr::from(([127, 0, 0, 1], 0))).await.unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    let chain = (world.chain.chain_id(), at);
    let server = Server::new(library, consents, chain, url.clone(), world.clock()).unwrap();
    tokio::spawn(async move { axum::serve(listener, router(server)).await.unwrap() });
    Serving { world, registry, published, url, client: client(), _keys: keys }
}

fn client() -> Client {
    // Plain HTTP on loopback; the product's client brings rustls with ring.
    let _installed = rustls::crypto::ring::default_provider().install_default();
    Client::new()
}

impl Serving {
    async fn wish(&self, grantee: Address) -> Access {
        let id = self.published.id;
        let url = format!("{}/datasets/{id}/challenge?grantee={grantee}", self.url);
        let answer: Value = self.client.get(url).send().await.unwrap().json().await.unwrap();
        Access {
            server: answer["server"].as_str().unwrap().into(),
            dataset: id,
            grantee,
            purpose: Purpose::search(),
            service: B256::ZERO,
            first: 0,
            count: 10,
            challenge: serde_json::from_value(answer["challenge"].clone()).unwrap(),
        }
    }

    fn sign(&self, access: Access, wallet: &Wallet) -> Signed {
        access.sign(wallet, self.world.chain.chain_id(), self.world.economy.consent)
    }

    async fn ask(&self, signed: &Signed) -> Result<Page, (StatusCode, String)> {
        let url = format!("{}/datasets/{}/documents", self.url, self.published.id);
        let answer = self.client.post(url).json(signed).send().await.unwrap();
        let status = answer.status();
        if status.is_success() {
            return Ok(answer.json().await.unwrap());
        }
        let body: Value = answer.json().await.unwrap();
        Err((status, body["error"]["code"].as_str().unwrap().to_owned()))
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn documents_are_given_to_the_holder_of_a_grant_with_proofs() {
    let serving = serving().await;
    let Serving { world, registry, published, url, client, .. } = &serving;
    let list: Value =
        client.get(format!("{url}/datasets")).send().await.unwrap().json().await.unwrap();
    assert_eq!(list["datasets"][0]["name"], "five");
    let card = client.get(format!("{url}/datasets/{}", published.id)).send().await.unwrap();
    assert_eq!(card.json::<Value>().await.unwrap(), published.card.0);

    let grantee = world.grantee.address();
    let signed = serving.sign(serving.wish(grantee).await, &world.grantee);
    let denied = (StatusCode::FORBIDDEN, "denied".to_owned());
    assert_eq!(serving.ask(&signed).await, Err(denied.clone()), "nothing is granted yet");
    let grant = world.grant(published.id).await;
    registry.grant(&grant, None).await.unwrap();

    let wish = Access { first: 1, count: 2, ..serving.wish(grantee).await };
    let page = serving.ask(&serving.sign(wish.clone(), &world.grantee)).await.unwrap();
    assert_eq!((page.size, page.grant, page.items.len()), (5, grant.id(), 2));
    let documents = page.verify(&wish, world.owner.address()).unwrap();
    assert_eq!(documents[0].1.content, "Document number 1.");
    // A server that gives another document, another owner's or another number is found out.
    assert!(page.verify(&wish, grantee).is_err());
    assert!(page.verify(&Access { first: 0, ..wish.clone() }, world.owner.address()).is_err());
    let mut changed = page.clone();
    changed.items[0].document.content.push('!');
    assert!(changed.verify(&wish, world.owner.address()).is_err());

    // Revoked: at once.
    registry.revoke(grant.id()).await.unwrap();
    let signed = serving.sign(serving.wish(grantee).await, &world.grantee);
    assert_eq!(serving.ask(&signed).await, Err(denied));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_signature_is_good_once_for_its_server_dataset_and_holder() {
    let serving = serving().await;
    let world = &serving.world;
    let grantee = world.grantee.address();
    serving.registry.grant(&world.grant(serving.published.id).await, None).await.unwrap();
    let unauthorized = |code: &str| Err((StatusCode::UNAUTHORIZED, code.to_owned()));

    let signed = serving.sign(serving.wish(grantee).await, &world.grantee);
    assert!(serving.ask(&signed).await.is_ok());
    assert_eq!(serving.ask(&signed).await, unauthorized("challenge"), "used");

    let stranger = Wallet::random().unwrap();
    let wish = serving.wish(grantee).await;
    assert_eq!(
        serving.ask(&serving.sign(wish.clone(), &stranger)).await,
        unauthorized("signature")
    );
    let elsewhere = Access { server: "http://elsewhere".into(), ..wish.clone() };
    assert_eq!(serving.ask(&serving.sign(elsewhere, &world.grantee)).await, unauthorized("server"));
    let other = Access { dataset: B256::ZERO, ..wish.clone() };
    assert_eq!(serving.ask(&serving.sign(other, &world.grantee)).await, unauthorized("dataset"));
    let made_up = Access { challenge: B256::repeat_byte(9), ..wish.clone() };
    assert_eq!(
        serving.ask(&serving.sign(made_up, &world.grantee)).await,
        unauthorized("challenge")
    );
    // A stranger may sign for itself; it holds no grant.
    let own = serving.sign(serving.wish(stranger.address()).await, &stranger);
    assert_eq!(serving.ask(&own).await, Err((StatusCode::FORBIDDEN, "denied".into())));
    let train = Access { purpose: Purpose::train(), ..serving.wish(grantee).await };
    let train = serving.ask(&serving.sign(train, &world.grantee)).await;
    assert_eq!(train, Err((StatusCode::FORBIDDEN, "denied".into())));

    world.time.fetch_add(121 * SECOND, Ordering::Relaxed);
    assert_eq!(serving.ask(&serving.sign(wish, &world.grantee)).await, unauthorized("challenge"));
    let body = vec![b' '; 20_000];
    let url = format!("{}/datasets/{}/documents", serving.url, serving.published.id);
    let large = serving.client.post(url).header("content-type", "application/json").body(body);
    assert_eq!(large.send().await.unwrap().status(), StatusCode::PAYLOAD_TOO_LARGE);
}
