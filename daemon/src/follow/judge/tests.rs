use nervelight_engines::store::models::{Probation, RolledBack};
use nervelight_registry::Repository;
use std::time::Duration;

use super::*;

fn digest(c: char) -> String {
    c.to_string().repeat(64)
}

fn follow(canaries: &[&str]) -> Follow {
    Follow {
        tag: "oci://127.0.0.1:5000/nerve:stable".parse::<Repository>().unwrap(),
        poll: Duration::from_secs(60),
        window: None,
        credentials: None,
        plain: true,
        cart: "cart3".into(),
        canaries: canaries.iter().map(|name| (*name).to_owned()).collect(),
        wait_for: canaries.len(),
    }
}

fn judged(follow: &Follow, serial: Option<u64>, state: &State, memory: &Memory) -> Judgement {
    judge(follow, (&digest('b'), serial), state, memory, Time::new(12, 0, 0, 0).unwrap())
}

#[test]
fn a_new_model_is_taken_at_once_or_after_the_canaries_and_never_twice() {
    let folder = tempfile::tempdir().unwrap();
    let mut memory = Memory::read(&folder.path().join("follow.json"));
    let state = State { active: Some(digest('a')), floor: 5, ..State::default() };
    assert_eq!(judged(&follow(&[]), Some(6), &state, &memory), Judgement::Take);
    assert_eq!(judged(&follow(&["cart3", "cart4"]), Some(6), &state, &memory), Judgement::Take, "a canary");
    assert_eq!(judged(&follow(&["cart4"]), Some(6), &state, &memory), Judgement::Ask);
    let is_refused = |judgement: Judgement, words: &str| match judgement {
        Judgement::Refused(why) => assert!(why.contains(words), "{why}"),
        other => panic!("{other:?}"),
    };
    is_refused(judged(&follow(&[]), Some(4), &state, &memory), "serial 4 is below 5");
    assert_eq!(judged(&follow(&[]), None, &state, &memory), Judgement::Take, "the store judges that");

    let runs = State { active: Some(digest('b')), ..state.clone() };
    assert_eq!(judged(&follow(&[]), Some(6), &runs, &memory), Judgement::Current);
    let tried = Probation { digest: digest('b'), deployment: 1, begun: 0, stopped: false };
    let on_probation = State { probation: Some(tried), ..runs };
    assert_eq!(judged(&follow(&[]), Some(6), &on_probation, &memory), Judgement::OnProbation);

    let left = RolledBack { digest: digest('b'), why: "Dice 0.2".into(), when: 0 };
    let back = State { rolled_back: Some(left), ..state.clone() };
    is_refused(judged(&follow(&[]), Some(6), &back, &memory), "taken back: Dice 0.2");
    memory.end(&digest('b'), false, "golden: frame 3").unwrap();
    is_refused(judged(&follow(&[]), Some(6), &state, &memory), "golden: frame 3");
    // Somebody chose the model before: the tag does not know better.
    memory.end(&digest('b'), true, "").unwrap();
    is_refused(judged(&follow(&[]), Some(6), &state, &memory), "another model was chosen");
}

#[test]
fn one_canary_that_gave_it_up_outweighs_those_that_kept_it() {
    let verdict = |cart: &str, outcome| Verdict {
        digest: digest('b'),
        cart: cart.into(),
        outcome,
        message: "Dice 0.2".into(),
    };
    let follow = follow(&["a", "b"]);
    assert_eq!(weigh(&follow, &[]), Some(("0 of 2 canaries have kept it".into(), false)));
    assert_eq!(
        weigh(&follow, &[verdict("a", Outcome::Kept)]),
        Some(("1 of 2 canaries have kept it".into(), false))
    );
    assert_eq!(weigh(&follow, &[verdict("a", Outcome::Kept), verdict("b", Outcome::Kept)]), None);
    let one = Follow { wait_for: 1, ..follow };
    assert_eq!(weigh(&one, &[verdict("a", Outcome::Kept)]), None);
    let said = weigh(&one, &[verdict("a", Outcome::Kept), verdict("b", Outcome::Rejected)]);
    assert_eq!(said, Some(("canary b gave it up: Dice 0.2".into(), true)));
}
