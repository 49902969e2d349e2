//! The exact engine through its public face, on the default model.
#![allow(clippy::unwrap_used, reason = "a test that unwraps wrongly fails, which is its purpose")]

#[allow(dead_code, reason = "shared by several test binaries")]
mod common;

use std::time::Duration;

use alloy_primitives::B256;
use futures_util::StreamExt;
use serde_json::json;
use tokio::time::timeout;
use vouch_model::exact::{ExactEngine, ExactOptions, Mismatch, ReplayRequest};
use vouch_model::{
    Engine, Error, Event, EventStream, FinishReason, GenerateRequest, Prompt, Sampling, Usage,
};

fn engine(options: ExactOptions) -> ExactEngine {
    ExactEngine::open(&common::default_model(), &options).unwrap()
}

fn chat(question: &str) -> Prompt {
    Prompt::Chat { messages: json!([{"role": "user", "content": question}]), tools: None }
}

fn seeded(prompt: Prompt, max_tokens: u32, seed: u8) -> GenerateRequest {
    GenerateRequest {
        sampling: Sampling { temperature: 0.9, top_p: 0.95 },
        seed: [seed; 32],
        ..GenerateRequest::new(prompt, max_tokens)
    }
}

#[derive(Debug, Clone, PartialEq)]
struct Answer {
    input_ids: Vec<u32>,
    text: String,
    ids: Vec<u32>,
    reason: FinishReason,
    usage: Usage,
    commitment: B256,
}

async fn read(mut events: EventStream) -> Result<Answer, Error> {
    let (mut text, mut ids) = (String::new(), vec![]);
    let Event::Started { input_ids: Some(input_ids), input_tokens, .. } =
        events.next().await.unwrap()?
    else {
        panic!("no start")
    };
    assert_eq!(input_ids.len(), input_tokens as usize);
    while let Some(event) = events.next().await {
        match event? {
            Event::Started { .. } => panic!("started twice"),
            Event::Delta { text: more, ids: new, tokens } => {
                assert_eq!(new.len(), tokens as usize);
                text.push_str(&more);
                ids.extend(new);
            }
            Event::Finished { reason, usage, commitment } => {
                assert!(events.next().await.is_none());
                assert_eq!(usage.output_tokens as usize, ids.len());
                assert_eq!(usage.input_tokens, input_tokens);
                return Ok(Answer { input_ids, text, ids, reason, usage, commitment });
            }
        }
    }
    panic!("ended without a finish")
}

#[tokio::test]
async fn it_knows_the_capital_of_france_and_ends_its_turn() {
    let engine = engine(ExactOptions::default());
    let prompt = chat("What is the capital city of France? Answer in English.");
    let counted = engine.count_input(&prompt).unwrap();
    let answer = read(engine.generate(GenerateRequest::new(prompt, 60))).await.unwrap();
    assert!(answer.text.contains("Paris"), "{}", answer.text);
    assert_eq!(answer.reason, FinishReason::Stop);
    assert!(counted.exact && counted.tokens == answer.usage.input_tokens);
    let tokenizer = engine.tokenizer();
    assert!(tokenizer.is_end_of_generation(*answer.ids.last().unwrap()));
    let shown: Vec<u32> =
        answer.ids.iter().copied().filter(|id| !tokenizer.is_control(*id)).collect();
    assert_eq!(tokenizer.decode(&shown), answer.text);
    assert_eq!(engine.entry().identity.arithmetic, "vouch-exact/1");
}

#[tokio::test]
async fn a_seed_repeats_among_others_and_another_differs() {
    let one = engine(ExactOptions { threads: 1, ..ExactOptions::default() });
    let prompt = || Prompt::Text("Once upon a time, in a village of emoji \u{1f600}:".into());
    let alone = read(one.generate(seeded(prompt(), 40, 1))).await.unwrap();
    assert_eq!((alone.reason, alone.ids.len()), (FinishReason::Length, 40));
    let two = engine(ExactOptions { threads: 2, ..ExactOptions::default() });
    let long = Prompt::Tokens(alone.input_ids.repeat(20));
    let (again, other, beside) = tokio::join!(
        read(two.generate(seeded(prompt(), 40, 1))),
        read(two.generate(seeded(prompt(), 40, 2))),
        read(two.generate(seeded(long, 5, 3))),
    );
    assert_eq!(again.unwrap(), alone);
    assert_ne!(other.unwrap().ids, alone.ids);
    beside.unwrap();
}

#[tokio::test]
async fn a_replay_confirms_an_answer_and_catches_a_changed_one() {
    let engine = engine(ExactOptions::default());
    for request in [
        GenerateRequest::new(chat("Count from one to ten."), 45),
        seeded(chat("Tell me a story."), 45, 9),
    ] {
        let answer = read(engine.generate(request.clone())).await.unwrap();
        let honest = ReplayRequest {
            input_ids: answer.input_ids.clone(),
            output_ids: answer.ids.clone(),
            sampling: request.sampling,
            seed: request.seed,
        };
        let replay = engine.replay(honest.clone()).await.unwrap();
        assert_eq!(replay.mismatch, None);
        assert!(replay.confirms(&answer.commitment));

        let mut changed = honest.clone();
        changed.output_ids[20] ^= 1;
        let replay = engine.replay(changed.clone()).await.unwrap();
        let (drawn, claimed) = (answer.ids[20], changed.output_ids[20]);
        assert_eq!(replay.mismatch, Some(Mismatch { position: 20, drawn, claimed }));
        assert!(!replay.confirms(&answer.commitment));

        let mut prompt = honest.clone();
        prompt.input_ids[3] ^= 1;
        assert!(!engine.replay(prompt).await.unwrap().confirms(&answer.commitment));
        if request.sampling != Sampling::greedy() {
            let reseeded = ReplayRequest { seed: [8; 32], ..honest };
            assert!(engine.replay(reseeded).await.unwrap().mismatch.is_some());
        }
    }
}

#[tokio::test]
async fn text_ends_before_a_stop_string() {
    let engine = engine(ExactOptions::default());
    let request =
        GenerateRequest::new(chat("What is the capital city of France? Answer in English."), 60);
    let whole = read(engine.generate(request.clone())).await.unwrap();
    let stop = vec!["never said".into(), "Paris".into()];
    let stopped = read(engine.generate(GenerateRequest { stop, ..request })).await.unwrap();
    assert_eq!(stopped.reason, FinishReason::Stop);
    assert_eq!(Some(stopped.text.as_str()), whole.text.split("Paris").next());
    // The ids reach into the stop string; all are counted.
    assert!(whole.ids.starts_with(&stopped.ids));
    assert!(engine.tokenizer().decode(&stopped.ids).contains("Paris"));
}

#[tokio::test]
async fn what_is_not_read_pauses_and_what_is_dropped_stops() {
    let engine = engine(ExactOptions { active: 2, queue: 1, ..ExactOptions::default() });
    let request = |seed| seeded(Prompt::Text("A list of words:".into()), 100, seed);
    // Both run, and have left the queue, once they have given a token.
    let mut paused = running(&engine, request(1)).await;
    let expected = read(engine.generate(request(1))).await.unwrap();

    let second = running(&engine, request(2)).await;
    // The third waits; a fourth finds the queue full. The one that has just ended may hold its
    // place for one step more, and then the third has to ask again.
    let waiting = timeout(Duration::from_secs(60), async {
        loop {
            let mut waiting = engine.generate(request(3));
            match waiting.next().await.unwrap() {
                Ok(Event::Started { .. }) => break waiting,
                Err(Error::Busy { .. }) => tokio::time::sleep(Duration::from_millis(5)).await,
                other => panic!("{other:?}"),
            }
        }
    });
    let waiting = waiting.await.unwrap();
    let refused = read_refusal(&engine, request(4)).await;
    assert!(matches!(refused, Error::Busy { waiting: 1 }), "{refused}");
    drop(second);
    let third = timeout(Duration::from_secs(60), async {
        waiting
            .filter(|event| std::future::ready(matches!(event, Ok(Event::Finished { .. }))))
            .count()
            .await
    });
    assert_eq!(third.await.unwrap(), 1);

    let mut ids = expected.ids[..1].to_vec();
    while let Some(event) = paused.next().await {
        if let Event::Delta { ids: new, .. } = event.unwrap() {
            ids.extend(new);
        }
    }
    assert_eq!(ids, expected.ids);
}

/// A generation that has given its first token.
async fn running(engine: &ExactEngine, request: GenerateRequest) -> EventStream {
    let mut events = engine.generate(request);
    assert!(matches!(events.next().await.unwrap().unwrap(), Event::Started { .. }));
    assert!(matches!(events.next().await.unwrap().unwrap(), Event::Delta { .. }));
    events
}

async fn read_refusal(engine: &ExactEngine, request: GenerateRequest) -> Error {
    let mut events = engine.generate(request);
    let error = events.next().await.unwrap().unwrap_err();
    assert!(events.next().await.is_none());
    error
}

#[tokio::test]
async fn refusals_are_typed_and_carry_their_numbers() {
    let options = ExactOptions { context_tokens: 64, cache_bytes: 1 << 20, ..Default::default() };
    let engine = engine(options);
    assert_eq!(engine.context_tokens(), 64);
    let ask = |prompt, max_tokens| GenerateRequest::new(prompt, max_tokens);
    let ids = |count| Prompt::Tokens(vec![504; count]);

    let error = read_refusal(&engine, ask(ids(60), 5)).await;
    let Error::ContextTooLong { input_tokens: 60, max_tokens: 5, context_tokens: 64 } = error
    else {
        panic!("{error}")
    };
    // 23,040 bytes a position, by sixteens.
    let error = read_refusal(&engine, ask(ids(48), 1)).await;
    let Error::CacheTooSmall { needed_bytes: 1_474_560, limit_bytes: 1_048_576 } = error else {
        panic!("{error}")
    };
    read(engine.generate(ask(ids(30), 2))).await.unwrap();

    let bad_stop = GenerateRequest { stop: vec![String::new()], ..ask(ids(1), 1) };
    let bad_sampling =
        GenerateRequest { sampling: Sampling { temperature: -1.0, top_p: 1.0 }, ..ask(ids(1), 1) };
    let unknown_id = ask(Prompt::Tokens(vec![49_152]), 1);
    for request in [ask(ids(0), 1), ask(ids(1), 0), bad_stop, bad_sampling, unknown_id] {
        let error = read_refusal(&engine, request).await;
        assert!(matches!(error, Error::Request(_)), "{error}");
    }
    let no_list = Prompt::Chat { messages: json!("hello"), tools: None };
    assert!(matches!(engine.count_input(&no_list), Err(Error::Template(_))));
    let empty = ReplayRequest {
        input_ids: vec![1],
        output_ids: vec![],
        sampling: Sampling::greedy(),
        seed: [0; 32],
    };
    assert!(matches!(engine.replay(empty).await, Err(Error::Request(_))));
}

#[tokio::test]
async fn an_engine_that_is_gone_ends_its_streams() {
    let engine = engine(ExactOptions::default());
    let mut events = engine.generate(GenerateRequest::new(chat("Tell me a story."), 400));
    assert!(matches!(events.next().await.unwrap().unwrap(), Event::Started { .. }));
    drop(engine);
    let all = timeout(Duration::from_secs(60), events.collect::<Vec<_>>()).await.unwrap();
    assert!(matches!(all.last(), Some(Err(Error::Stopped))), "{:?}", all.last());
}
