//! The words of the status of a pod or a Deployment: reasons, types of conditions and types of events.
//!
//! Each is stored and printed exactly as Kubernetes spells it.

use std::convert::Infallible;
use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Deserializer, Serialize, Serializer};

/// Defines an enum of words. An unknown word is kept as `Other`, so that a state that was written by another version of
/// the program stays readable.
macro_rules! open_words {
    ($(#[$doc:meta])* $name:ident { $($(#[$word_doc:meta])* $word:ident,)* }) => {
        $(#[$doc])*
        #[derive(Debug, Clone, PartialEq, Eq, Hash)]
        pub enum $name {
            $($(#[$word_doc])* $word,)*
            /// A word that only another version of the program knows.
            Other(String),
        }

        impl $name {
            /// Returns the word as Kubernetes spells it.
            pub fn as_str(&self) -> &str {
                match self {
                    $(Self::$word => stringify!($word),)*
                    Self::Other(word) => word,
                }
            }
        }

        impl From<&str> for $name {
            fn from(word: &str) -> Self {
                match word {
                    $(stringify!($word) => Self::$word,)*
                    other => Self::Other(other.to_owned()),
                }
            }
        }

        impl FromStr for $name {
            type Err = Infallible;

            fn from_str(word: &str) -> Result<Self, Infallible> {
                Ok(word.into())
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(self.as_str())
            }
        }

        impl Serialize for $name {
            fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
                serializer.serialize_str(self.as_str())
            }
        }

        impl<'de> Deserialize<'de> for $name {
            fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
                Ok(String::deserialize(deserializer)?.as_str().into())
            }
        }
    };
}

/// Defines an enum of words that are compared and printed, but never read back.
macro_rules! closed_words {
    ($(#[$doc:meta])* $name:ident { $($(#[$word_doc:meta])* $word:ident,)* }) => {
        $(#[$doc])*
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
        pub enum $name {
            $($(#[$word_doc])* $word,)*
        }

        impl $name {
            /// All words, in the order of their definition.
            pub const ALL: &[Self] = &[$(Self::$word),*];

            /// Returns the word as Kubernetes spells it.
            pub const fn as_str(self) -> &'static str {
                match self {
                    $(Self::$word => stringify!($word),)*
                }
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(self.as_str())
            }
        }
    };
}

open_words! {
    /// Why a container waits: state.waiting.reason.
    WaitingReason {
        /// The container has not been tried yet.
        ContainerCreating,
        /// The container has not been tried yet, because init containers run first.
        PodInitializing,
        /// The container has ended and is restarted once its back-off is over.
        CrashLoopBackOff,
        /// The container's image could not be pulled.
        ErrImagePull,
        /// The next attempt to pull the container's image waits for a back-off.
        ImagePullBackOff,
        /// The container's image is missing and imagePullPolicy is Never.
        ErrImageNeverPull,
        /// The name of the container's image cannot be parsed.
        InvalidImageName,
        /// An object that the manifest refers to is missing or invalid.
        CreateContainerConfigError,
        /// The container could not be created.
        CreateContainerError,
        /// The container was created, but its process could not be started.
        RunContainerError,
        /// The container's postStart hook has failed.
        PostStartHookError,
        /// One of the container's volumes could not be mounted.
        FailedMount,
    }
}

impl WaitingReason {
    /// Returns true if the container may still start without the user's help. Any other reason means that the
    /// container cannot be created unless something changes.
    pub const fn is_transient(&self) -> bool {
        matches!(self, Self::ContainerCreating | Self::PodInitializing | Self::CrashLoopBackOff)
    }
}

open_words! {
    /// How a run of a container ended: state.terminated.reason.
    TerminatedReason {
        /// The process exited with 0.
        Completed,
        /// The process exited with another code.
        Error,
        /// The kernel killed the process for lack of memory.
        OOMKilled,
        /// The process could not be started.
        StartError,
        /// The exit code is lost.
        ContainerStatusUnknown,
    }
}

closed_words! {
    /// The type of a condition: status.conditions[].type.
    ConditionType {
        /// A pod has a node.
        PodScheduled,
        /// The sandbox of a pod is ready.
        PodReadyToStartContainers,
        /// The init containers of a pod are done.
        Initialized,
        /// The app containers of a pod are ready.
        ContainersReady,
        /// A pod is ready.
        Ready,
        /// All containers of a pod are stopped in order to run again (KEP-5532).
        AllContainersRestarting,
        /// A Deployment has as many ready pods as it needs.
        Available,
        /// A Deployment is being rolled out, or has been.
        Progressing,
    }
}

closed_words! {
    /// The type of an event.
    EventType {
        /// Something happened as it should.
        Normal,
        /// Something went wrong.
        Warning,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_are_stored_as_kubernetes_spells_them() {
        for word in ["CrashLoopBackOff", "ErrImageNeverPull", "FailedMount", "OfANewerVersion"] {
            let reason: WaitingReason = serde_json::from_value(word.into()).unwrap();
            assert_eq!(serde_json::to_value(&reason).unwrap(), word);
            assert_eq!(reason.to_string(), word);
        }
        assert_eq!(TerminatedReason::from("OOMKilled"), TerminatedReason::OOMKilled);
        assert_eq!(TerminatedReason::from("Evicted"), TerminatedReason::Other("Evicted".to_owned()));
        assert_eq!(ConditionType::ContainersReady.as_str(), "ContainersReady");
        assert_eq!(EventType::ALL.iter().map(ToString::to_string).collect::<Vec<_>>(), ["Normal", "Warning"]);
    }

    #[test]
    fn an_unknown_waiting_reason_is_not_transient() {
        assert!(WaitingReason::CrashLoopBackOff.is_transient());
        assert!(!WaitingReason::from("OfANewerVersion").is_transient());
    }
}
