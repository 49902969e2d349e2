//! Mandates that contradict themselves are refused with one sentence.

use alloy::primitives::Address;
use vouch_agent::mandate::{Cap, Contracts, Enforcers, Grant, Mandate, Permission, Venue};
use vouch_wallet::Wallet;

const NOW: u64 = 1_800_000_100;
const TOKEN: Address = Address::repeat_byte(0x10);
const OTHER: Address = Address::repeat_byte(0x11);
const ROUTER: Address = Address::repeat_byte(0x20);
const PAYEE: Address = Address::repeat_byte(0x30);

fn swap() -> Permission {
    Permission::Swap {
        venue: Venue::UniswapV2,
        router: ROUTER,
        sell: TOKEN,
        buy: OTHER,
        fee: 3_000,
        max_slippage_bps: 50,
        max_impact_bps: 100,
    }
}

fn mandate() -> Mandate {
    Mandate {
        owner: Address::repeat_byte(1),
        agent: Address::repeat_byte(2),
        chain: 1,
        start: NOW,
        expiry: NOW + 1_000,
        calls: 10,
        caps: vec![Cap { token: TOKEN, amount: 100, period_s: 100 }],
        permissions: vec![
            Permission::Transfer { token: TOKEN, payees: vec![PAYEE] },
            swap(),
            Permission::Ask { max_per_call: 1, total: 2, providers: Vec::new() },
        ],
    }
}

#[test]
fn each_contradiction_has_its_sentence() {
    type Change = fn(&mut Mandate);
    let cases: &[(&str, Change)] = &[
        ("expired", |m| (m.start, m.expiry) = (NOW - 9, NOW)),
        ("before it starts", |m| (m.start, m.expiry) = (NOW + 9, NOW + 8)),
        ("0 calls", |m| m.calls = 0),
        ("chain 0", |m| m.chain = 0),
        ("owner's own", |m| m.agent = m.owner),
        ("permits nothing", |m| m.permissions.clear()),
        ("period of 0", |m| m.caps[0].period_s = 0),
        ("is 0", |m| m.caps[0].amount = 0),
        ("two caps", |m| m.caps.push(m.caps[0])),
        ("zero address", |m| m.caps[0].token = Address::ZERO),
        ("has no cap", |m| m.caps.clear()),
        ("the token itself", |m| {
            m.permissions[0] = Permission::Transfer { token: TOKEN, payees: vec![TOKEN] };
        }),
        ("the owner", |m| {
            m.permissions[0] = Permission::Transfer { token: TOKEN, payees: vec![m.owner] };
        }),
        ("named twice", |m| {
            m.permissions[0] = Permission::Transfer { token: TOKEN, payees: vec![PAYEE, PAYEE] };
        }),
        ("0 payees", |m| {
            m.permissions[0] = Permission::Transfer { token: TOKEN, payees: vec![] };
        }),
        ("same thing", |m| m.permissions.push(swap())),
        ("same thing", |m| m.permissions.push(m.permissions[0].clone())),
        ("same token", |m| {
            let Permission::Swap { buy, .. } = &mut m.permissions[1] else { panic!() };
            *buy = TOKEN;
        }),
        ("one of the mandate's tokens", |m| {
            let Permission::Swap { router, .. } = &mut m.permissions[1] else { panic!() };
            *router = TOKEN;
        }),
        ("basis points", |m| {
            let Permission::Swap { max_impact_bps, .. } = &mut m.permissions[1] else { panic!() };
            *max_impact_bps = 10_000;
        }),
        ("fee 3000", |m| {
            let Permission::Swap { fee, .. } = &mut m.permissions[1] else { panic!() };
            *fee = 500;
        }),
        ("raise total", |m| {
            m.permissions[2] = Permission::Ask { max_per_call: 3, total: 2, providers: Vec::new() }
        }),
        ("no sub-agent", |m| {
            let to = m.agent;
            let permissions = vec![0];
            m.permissions.push(Permission::Delegate {
                to,
                token: TOKEN,
                limit: 1,
                permissions,
                dollars: 0,
            });
        }),
        ("in all", |m| {
            let permissions = vec![0];
            let limit = 1_001;
            m.permissions.push(Permission::Delegate {
                to: PAYEE,
                token: TOKEN,
                limit,
                permissions,
                dollars: 0,
            });
        }),
        ("cannot be handed on", |m| {
            let permissions = vec![2];
            m.permissions.push(Permission::Delegate {
                to: PAYEE,
                token: TOKEN,
                limit: 1,
                permissions,
                dollars: 0,
            });
        }),
        ("which there is not", |m| {
            let permissions = vec![9];
            m.permissions.push(Permission::Delegate {
                to: PAYEE,
                token: TOKEN,
                limit: 1,
                permissions,
                dollars: 0,
            });
        }),
        ("the permission to ask has 2", |m| {
            m.permissions.push(Permission::Delegate {
                to: PAYEE,
                token: TOKEN,
                limit: 1,
                permissions: vec![0],
                dollars: 3,
            });
        }),
    ];
    assert!(mandate().check(NOW).is_ok());
    for (words, change) in cases {
        let mut mandate = mandate();
        change(&mut mandate);
        let sentence = mandate.check(NOW).unwrap_err().to_string();
        assert!(sentence.contains(words), "{words:?} is not in {sentence:?}");
    }
}

#[test]
fn toml_and_json_are_one_mandate_and_unknown_fields_are_none() {
    let mandate = mandate();
    let text = toml::to_string(&mandate).unwrap();
    let again: Mandate = toml::from_str(&text).unwrap();
    assert_eq!(again.hash().unwrap(), mandate.hash().unwrap());
    let json = serde_json::to_string(&mandate).unwrap();
    let again: Mandate = serde_json::from_str(&json).unwrap();
    assert_eq!(again.hash().unwrap(), mandate.hash().unwrap());
    assert!(toml::from_str::<Mandate>(&format!("speed = 1\n{text}")).is_err());
    assert!(serde_json::from_str::<Mandate>(&json.replace("\"payees\"", "\"payee\"")).is_err());
    assert!(serde_json::from_str::<Mandate>(&json.replace("\"100\"", "100")).is_err());
}

#[test]
fn a_grant_is_its_owners_and_cannot_be_changed() {
    let (owner, thief) = (Wallet::random().unwrap(), Wallet::random().unwrap());
    let mandate = Mandate { owner: owner.address(), ..mandate() };
    let at = Address::repeat_byte;
    let contracts = Contracts {
        chain: 1,
        manager: at(0x40),
        delegator: at(0x41),
        enforcers: Enforcers {
            allowed_targets: at(0x42),
            allowed_methods: at(0x43),
            allowed_calldata: at(0x44),
            timestamp: at(0x45),
            limited_calls: at(0x46),
            value_lte: at(0x47),
            erc20_period_transfer: at(0x48),
            spend_per_period: at(0x49),
        },
    };
    assert!(Grant::sign(mandate.clone(), contracts, &thief, NOW).is_err());
    let elsewhere = Contracts { chain: 2, ..contracts };
    assert!(Grant::sign(mandate.clone(), elsewhere, &owner, NOW).is_err());
    let grant = Grant::sign(mandate, contracts, &owner, NOW).unwrap();
    assert!(grant.compiled().is_ok());
    let json = serde_json::to_string(&grant).unwrap();
    assert_eq!(serde_json::from_str::<Grant>(&json).unwrap(), grant);
    let mut richer = grant.clone();
    richer.mandate.caps[0].amount += 1;
    assert!(richer.compiled().is_err());
    let mut shorter = grant.clone();
    shorter.signatures.pop();
    assert!(shorter.compiled().is_err());
    let mut elsewhere = grant;
    elsewhere.contracts.manager = at(0x50);
    assert!(elsewhere.compiled().is_err());
}
