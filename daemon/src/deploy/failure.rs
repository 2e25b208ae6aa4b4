//! Why a deployment ended, made of the errors of those who found out.

use nervelight_engines::{BundleError, EngineError};

use crate::status::deployment::Failure;

/// What the error says: its last sentence says what to do, as errors here end with that.
pub fn of(gate: &'static str, said: &str) -> Failure {
    let (message, remedy) = said.rsplit_once(". ").unwrap_or((said, "Look at the log"));
    Failure { gate, frame: None, figure: None, bound: None, message: message.into(), remedy: remedy.into() }
}

/// Why there is no engine for a model.
pub fn of_engine(error: &EngineError) -> Failure {
    let said = error.to_string();
    match error {
        EngineError::Golden { frame, dice, limit, .. } => Failure {
            frame: Some(frame.clone()),
            figure: Some(*dice),
            bound: Some(*limit),
            ..of("golden", &said)
        },
        EngineError::Rejected(_) => of("golden", &said),
        EngineError::NoGolden(_) | EngineError::Bundle(BundleError::Hidden { .. }) => of("golden", &said),
        _ => of("engine", &said),
    }
}

/// An operator ended it.
pub fn withdrawn(who: &str) -> Failure {
    let remedy = "Deploy it again when it is wanted".into();
    Failure { remedy, ..of("operator", &format!("{who} went back to the model before")) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_engine_that_disagrees_names_frame_figure_and_bound() {
        let error = EngineError::Golden {
            engine: "ONNX Runtime 1.22.0 (CPU, fp32) on a processor".into(),
            frame: "11_24".into(),
            dice: 0.412,
            limit: 0.98,
            flat: false,
        };
        let failure = of_engine(&error);
        assert_eq!((failure.gate, failure.frame.as_deref()), ("golden", Some("11_24")));
        assert_eq!((failure.figure, failure.bound), (Some(0.412), Some(0.98)));
        assert!(failure.message.contains("Dice 0.412") && failure.remedy.contains("try another precision"));
    }
}
