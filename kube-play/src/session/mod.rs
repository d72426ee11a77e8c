//! What this process gets from the user who started it: terminal, standard streams, signals and umask.

pub mod interrupt;
pub mod relay;
pub mod tty;
pub mod umask;
