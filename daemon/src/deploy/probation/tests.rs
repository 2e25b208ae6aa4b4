use super::*;
use crate::deploy::agreement::tests::pair;
use crate::deploy::watch::Answer;
use crate::deploy::watch::tests::answer;

const BOUNDS: Bounds = Bounds {
    time: Duration::from_secs(60),
    frames: 1000,
    latency_factor: 2.0,
    off_share: 0.05,
    min_dice: 0.7,
    flips: 0.2,
    area_factor: 2.0,
};

fn behaved(answers: &[(u64, u32, u64)]) -> Behaviour {
    let mut behaviour = Behaviour::default();
    for &(times, area, ms) in answers {
        (0..times).for_each(|_| behaviour.take(&answer(area, ms)));
    }
    let answers = behaviour.answers;
    behaviour.take_shown(answers, 0);
    behaviour
}

/// What a new model's behaviour comes to after `seconds`, after one that was good.
fn verdict(seconds: u64, new: Behaviour, pairs: &[(u64, Pair)]) -> Verdict {
    let begun = Instant::now();
    let mut probation = Probation::new(BOUNDS, behaved(&[(2000, 5000, 20)]), begun);
    probation.new = new;
    for (times, pair) in pairs {
        (0..*times).for_each(|_| probation.compare(pair));
    }
    probation.look(begun + Duration::from_secs(seconds))
}

fn gate(verdict: &Verdict) -> &'static str {
    match verdict {
        Verdict::Tripped(failure) => {
            assert!(failure.message.len() > 20 && failure.remedy.len() > 10, "{failure:?}");
            assert!(failure.figure.is_some() && failure.bound.is_some());
            failure.gate
        }
        other => panic!("{other:?}"),
    }
}

#[test]
fn both_time_and_frames_are_needed() {
    let good = |frames| behaved(&[(frames, 5200, 22)]);
    let pairs = [(60, pair(5000, 5100, 0.9))];
    assert_eq!(verdict(59, good(5000), &pairs), Verdict::GoesOn);
    assert_eq!(verdict(600, good(999), &pairs), Verdict::GoesOn);
    assert_eq!(verdict(60, good(1000), &pairs), Verdict::Passed);
    assert_eq!(verdict(60, good(1000), &[]), Verdict::Passed, "without spare time for pairs");
}

#[test]
fn errors_send_it_back_at_once_and_chance_does_not() {
    let failing = |errors: u64, answers: u64| {
        let mut new = behaved(&[(answers, 5000, 20)]);
        (0..errors).for_each(|_| new.take(&Answer { map: None }));
        new
    };
    assert_eq!(gate(&verdict(1, failing(3, 0), &[])), "errors");
    assert_eq!(verdict(1, failing(2, 10), &[]), Verdict::GoesOn);
    assert_eq!(verdict(50, failing(3, 4000), &[]), Verdict::GoesOn);
}

#[test]
fn maps_of_one_value_send_it_back() {
    let mut new = behaved(&[(300, 5000, 20)]);
    new.flat = 200;
    assert_eq!(gate(&verdict(10, new.clone(), &[])), "constant");
    new.flat = 20;
    assert_eq!(verdict(10, new.clone(), &[]), Verdict::GoesOn);
    let flat = Pair { shown_range: (0, 0), aside_range: (0, 200), ..pair(0, 0, 1.0) };
    assert_eq!(gate(&verdict(10, new.clone(), &[(20, flat)])), "constant_beside_old");
    assert_eq!(verdict(10, new, &[(19, flat)]), Verdict::GoesOn, "too few");
}

#[test]
fn a_slow_model_goes_back_and_a_few_milliseconds_are_nothing() {
    assert_eq!(gate(&verdict(10, behaved(&[(500, 5000, 45)]), &[])), "latency");
    assert_eq!(verdict(10, behaved(&[(499, 5000, 45)]), &[]), Verdict::GoesOn, "too few");
    assert_eq!(verdict(10, behaved(&[(500, 5000, 38)]), &[]), Verdict::GoesOn);
    let begun = Instant::now();
    let mut quick = Probation::new(BOUNDS, behaved(&[(2000, 5000, 1)]), begun);
    quick.new = behaved(&[(900, 5000, 4)]);
    assert_eq!(quick.look(begun), Verdict::GoesOn);
}

#[test]
fn frames_without_a_mask_send_it_back_even_without_answers() {
    let mut new = Behaviour::default();
    new.take_shown(1000, 60);
    assert_eq!(gate(&verdict(10, new, &[])), "off_share");
    for (shown, without) in [(1000, 40), (999, 60)] {
        let mut new = Behaviour::default();
        new.take_shown(shown, without);
        assert_eq!(verdict(10, new, &[]), Verdict::GoesOn, "{without} of {shown}");
    }
    let mut none = Behaviour::default();
    none.take_shown(300, 200);
    assert_eq!(gate(&verdict(10, none, &[])), "off_share", "that is no hiccup");
}

#[test]
fn disagreement_on_the_same_frames_sends_it_back() {
    let new = || behaved(&[(300, 5000, 20)]);
    assert_eq!(gate(&verdict(10, new(), &[(20, pair(5000, 5000, 0.5))])), "disagreement");
    let flips = [(14, pair(5000, 5000, 0.95)), (6, pair(5000, 0, 0.75))];
    assert_eq!(gate(&verdict(10, new(), &flips)), "presence");
    assert_eq!(gate(&verdict(10, new(), &[(20, pair(11_000, 5000, 0.75))])), "areas");
    let empty = [(200, pair(0, 0, 1.0))];
    assert_eq!(verdict(10, new(), &empty), Verdict::GoesOn, "frames without a nerve are no disagreement");
}

#[test]
fn without_common_frames_each_models_own_are_compared() {
    assert_eq!(gate(&verdict(10, behaved(&[(300, 25_000, 20)]), &[])), "own_areas");
    assert_eq!(gate(&verdict(10, behaved(&[(1000, 0, 20)]), &[])), "own_presence");
    let agreed = [(20, pair(0, 0, 1.0))];
    assert_eq!(
        verdict(60, behaved(&[(1000, 0, 20)]), &agreed),
        Verdict::Passed,
        "there was no nerve, and both agree"
    );
}

#[test]
fn without_a_history_only_what_needs_none_is_judged() {
    let begun = Instant::now();
    let mut young = Probation::new(BOUNDS, behaved(&[(10, 5000, 20)]), begun);
    young.new = behaved(&[(1000, 30_000, 200)]);
    assert_eq!(young.look(begun + Duration::from_secs(60)), Verdict::Passed);
    let figures = young.figures(begun);
    let latency = figures.gates.iter().find(|gate| gate.gate == "latency").unwrap();
    assert!(!latency.is_judged && latency.figure.is_some());
}

#[test]
fn silence_is_waited_for_and_said() {
    let begun = Instant::now();
    let mut probation = Probation::new(BOUNDS, Behaviour::default(), begun);
    let at = |s| begun + Duration::from_secs(s);
    probation.new = behaved(&[(999, 5000, 20)]);
    probation.answered(at(50));
    assert_eq!(probation.figures(at(52)).waits_for, None);
    assert!(probation.figures(at(100)).waits_for.unwrap().contains("picture"));
    assert_eq!(probation.look(at(100_000)), Verdict::GoesOn);
}
