mod external;
mod hostile;
mod life;
mod security;

use crate::harness::Case;

macro_rules! cases {
    ($($module:ident :: $name:ident),* $(,)?) => {
        /// Every test.
        pub const ALL: &[Case] =
            &[$(Case { name: concat!(stringify!($module), "::", stringify!($name)), run: $module::$name }),*];
    };
}

cases![
    life::exit_code_and_output,
    life::infra_holds_namespaces,
    life::stop_signal_and_exit_code,
    life::start_error_tells_why,
    life::exec_error_tells_why,
    life::a_program_that_cannot_run_fails_to_start,
    life::exec_joins_cgroup_and_environment,
    life::exec_exit_codes_reach_the_caller,
    life::shared_pid_namespace_has_pause_reap_orphans,
    life::pause_ends_on_interrupt_without_a_pid_namespace,
    life::containers_of_a_pod_share_memory_and_files,
    life::delete_kills_all_that_a_container_left,
    life::memory_limit_ends_a_container,
    life::terminal_of_its_own,
    life::exec_with_a_terminal,
    security::default_capabilities_and_seccomp_hold_for_exec_too,
    security::user_without_privileges_holds_for_exec_too,
    security::no_descriptor_leaks,
    security::created_container_holds_nothing_of_its_caller,
    security::paths_are_masked_and_read_only,
    security::devices_of_the_host_stay_out_of_reach,
    security::privileged_has_what_the_host_has,
    security::read_only_root,
    security::volumes_are_read_only_where_asked,
    security::image_that_links_dev_to_the_host_is_refused,
    security::links_in_the_image_do_not_lead_mounts_to_the_host,
    security::localhost_profile_holds_for_exec_too,
    security::filter_refuses_new_namespaces_by_clone_but_not_fork,
    security::our_executable_cannot_be_written,
    hostile::cve_2024_21626_working_dir_through_a_leaked_descriptor,
    hostile::cve_2024_21626_exec_through_a_working_dir_that_was_swapped,
    hostile::cve_2025_31133_dev_null_that_is_a_link,
    hostile::cve_2025_52565_dev_console_and_dev_pts_that_are_links,
    hostile::cve_2025_52881_a_false_proc,
    external::life_of_a_container_in_runc,
    external::life_of_a_container_in_crun,
    external::errors_are_the_own_words_of_runc,
    external::errors_are_the_own_words_of_crun,
    external::terminal_in_runc,
    external::terminal_in_crun,
    external::a_program_that_is_not_there_is_named,
];
