//! The commands. Each file contains one command: its arguments and what it does.

pub mod attach;
pub mod check;
pub mod completion;
pub mod cp;
pub mod debug;
pub mod describe;
pub mod down;
pub mod events;
pub mod exec;
pub mod generate;
pub mod get;
pub mod image;
pub mod info;
pub mod inspect;
pub mod logs;
pub mod man;
pub mod network;
pub mod play;
pub mod port_forward;
pub mod ps;
pub mod rollout;
pub mod scale;
pub mod top;
pub mod version;
pub mod volume;
pub mod wait;
