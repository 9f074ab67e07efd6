//! Changes to configs, as JSON before and after.

use super::history::Steps;
use super::{ConfigChanges, ProcessChanges};
use crate::error::{Error, Reason};
use crate::oci::{Annotations, ProcessUser, UnknownFields};

fn fields(text: &str) -> UnknownFields {
    text.parse().unwrap_or_else(|error| panic!("{text}: {error}"))
}

fn texts<const N: usize>(texts: [&str; N]) -> Vec<String> {
    texts.map(str::to_owned).to_vec()
}

fn env<const N: usize>(pairs: [(&str, &str); N]) -> Vec<(String, String)> {
    pairs.map(|(name, value)| (name.to_owned(), value.to_owned())).to_vec()
}

/// The layers of a test are made by the steps `one` and `two`.
fn changed(before: &str, changes: &ConfigChanges) -> Result<String, String> {
    let mut config = fields(before);
    let malformed = |reason: Reason| Error::InvalidManifest { reason };
    match changes.apply(&mut config, &Steps { base: 0, own: texts(["one", "two"]), created: None }) {
        Ok(()) => Ok(config.to_string()),
        Err(fault) => Err(fault.into_error(malformed).to_string()),
    }
}

/// Checks changes of the process: the `config` before and after.
#[track_caller]
fn check_process(before: &str, process: ProcessChanges, after: &str) {
    let config = |section: &str| fields(&format!(r#"{{"config":{section},"os":"linux"}}"#)).to_string();
    let changes = ConfigChanges::default().process(process);
    assert_eq!(changed(&config(before), &changes), Ok(config(after)));
}

fn process() -> ProcessChanges {
    ProcessChanges::default()
}

#[test]
fn fields_without_a_change_stay_unknown_ones_included() {
    let config = r#"{"architecture":"arm64","author":"a","config":{"ArgsEscaped":true,"Env":null,"Healthcheck":{"Retries":3},"OnBuild":["x"],"Shell":["y"],"z":1.50},"history":[{}],"os":"linux","os.features":["f"],"variant":"v8","x":1e400}"#;
    let config = fields(config).to_string();
    assert_eq!(changed(&config, &ConfigChanges::default()), Ok(config.clone()));
    let changes = ConfigChanges::default().process(process().user("app".parse::<ProcessUser>().expect("a user")));
    assert_eq!(changed(&config, &changes), Ok(config.replace(r#","z":"#, r#","User":"app","z":"#)));
}

#[test]
fn an_empty_section_stays_unless_a_change_empties_it() {
    for (before, after) in [
        (r#"{"config":{}}"#, r#"{"config":{}}"#),
        (r#"{"config":null}"#, r#"{"config":null}"#),
        (r#"{"config":{"User":"a"}}"#, "{}"),
    ] {
        let changes = ConfigChanges::default().cleared(vec!["User".parse().expect("a field")]);
        assert_eq!(changed(before, &changes).as_deref(), Ok(after));
    }
}

#[test]
fn empty_values_are_written_and_are_not_unset_ones() {
    let empty = process()
        .entrypoint(vec![])
        .cmd(vec![])
        .user("".parse::<ProcessUser>().expect("an empty one"))
        .workdir("")
        .env(env([("A", "")]));
    check_process(
        r#"{"Entrypoint":["a"],"User":"a"}"#,
        empty,
        r#"{"Cmd":[],"Entrypoint":[],"Env":["A="],"User":"","WorkingDir":""}"#,
    );
    let changes = ConfigChanges::default().author("").variant("").os_version("").os_features(vec![]);
    let after = r#"{"author":"","os.features":[],"os.version":"","variant":""}"#;
    assert_eq!(changed("{}", &changes).as_deref(), Ok(after));
    let cleared = ["author", "variant", "os.version", "os.features"].map(|name| name.parse().expect("a field"));
    assert_eq!(changed(after, &ConfigChanges::default().cleared(cleared.to_vec())).as_deref(), Ok("{}"));
}

#[test]
fn the_environment_keeps_its_order_and_all_duplicates_are_replaced() {
    let before = r#"{"Env":["A=1","B=2","A=3","C","AB=4"]}"#;
    check_process(
        before,
        process().env(env([("D", "x=y"), ("A", "5"), ("C", "6"), ("D", "7")])),
        r#"{"Env":["A=5","B=2","C=6","AB=4","D=7"]}"#,
    );
    check_process(before, process().unset_env(texts(["A", "C", "none"])), r#"{"Env":["B=2","AB=4"]}"#);
    let again = process().unset_env(texts(["A"])).env(env([("A", "")]));
    check_process(before, again, r#"{"Env":["B=2","C","AB=4","A="]}"#);
    check_process(r#"{"Env":["A=1"],"x":0}"#, process().unset_env(texts(["A"])), r#"{"x":0}"#);
    check_process(r#"{"Env":[]}"#, process().unset_env(texts(["A"])), r#"{"Env":[]}"#);
    check_process(r#"{"Env":null}"#, process().env(env([("a", "1")])), r#"{"Env":["a=1"]}"#);
    // Case counts, but for Windows.
    check_process(r#"{"Env":["Path=1"]}"#, process().env(env([("PATH", "2")])), r#"{"Env":["Path=1","PATH=2"]}"#);
    let changes = ConfigChanges::default().process(process().env(env([("PATH", "2")])));
    let windows = r#"{"config":{"Env":["Path=1"]},"os":"windows"}"#;
    assert_eq!(changed(windows, &changes), Ok(windows.replace("Path=1", "PATH=2")));
}

#[test]
fn variables_have_the_value_from_before_the_changes() {
    let before = r#"{"Env":["PATH=/bin","A=1","A=2","E="]}"#;
    let expanded = |pairs| process().env(pairs).expand_env(true);
    check_process(
        before,
        expanded(env([("PATH", "/app/bin:${PATH}"), ("B", "${A}${E}-$A-${PATH}}")])),
        r#"{"Env":["PATH=/app/bin:/bin","A=1","A=2","E=","B=2-$A-/bin}"]}"#,
    );
    let unset = expanded(env([("A", "${A}0")])).unset_env(texts(["A"]));
    check_process(before, unset, r#"{"Env":["PATH=/bin","E=","A=20"]}"#);
    check_process(before, process().env(env([("A", "${X}")])), r#"{"Env":["PATH=/bin","A=${X}","E="]}"#);
    for (value, error) in [
        ("${X}", "B: no variable 'X' is set in the config's Env"),
        ("${}", "B: no variable '' is set in the config's Env"),
        ("a${A", "B: '${' without '}' in 'a${A'"),
    ] {
        let changes = ConfigChanges::default().process(expanded(env([("B", value)])));
        let config = format!(r#"{{"config":{before}}}"#);
        assert_eq!(changed(&config, &changes), Err(error.to_owned()));
    }
}

#[test]
fn ports_and_volumes_are_sets() {
    let ports = |ports: &[&str]| ports.iter().map(|port| port.parse().expect("a port")).collect::<Vec<_>>();
    let before = r#"{"ExposedPorts":{"80":{},"443/tcp":{"x":1},"53/udp":{},"1-2/tcp":{}}}"#;
    check_process(
        before,
        process().exposed(ports(&["80", "443", "8080"])),
        r#"{"ExposedPorts":{"80/tcp":{},"443/tcp":{"x":1},"53/udp":{},"1-2/tcp":{},"8080/tcp":{}}}"#,
    );
    check_process(
        before,
        process().unexposed(ports(&["80/tcp", "53/udp", "53"])),
        r#"{"ExposedPorts":{"443/tcp":{"x":1},"1-2/tcp":{}}}"#,
    );
    check_process(r#"{"ExposedPorts":{"80":{}},"x":0}"#, process().unexposed(ports(&["80"])), r#"{"x":0}"#);
    let volumes = process().volumes(texts(["/b", "/a"])).removed_volumes(texts(["/c", "/d"]));
    check_process(r#"{"Volumes":{"/c":{},"/e":{}}}"#, volumes, r#"{"Volumes":{"/a":{},"/b":{},"/e":{}}}"#);
    // Spellings of one path are one volume, and one that is there keeps its spelling.
    let volumes = process().volumes(texts(["/a/", "//a", "/a", "/b", "/"])).removed_volumes(texts(["/c"]));
    check_process(
        r#"{"Volumes":{"/b/./":{"x":1},"/c/":{}}}"#,
        volumes,
        r#"{"Volumes":{"/":{},"/a":{},"/b/./":{"x":1}}}"#,
    );
}

#[test]
fn paths_of_the_process_are_absolute() {
    for (process, error) in [
        (process().workdir("app"), "WorkingDir 'app' is not an absolute path"),
        (process().volumes(texts(["data"])), "Volume 'data' is not an absolute path"),
        (process().volumes(texts([""])), "Volume '' is not an absolute path"),
    ] {
        assert_eq!(changed("{}", &ConfigChanges::default().process(process)), Err(error.to_owned()));
    }
    let changes = ConfigChanges::default().process(process().workdir("C:\\app")).os("windows");
    assert_eq!(changed("{}", &changes).as_deref(), Ok(r#"{"config":{"WorkingDir":"C:\\app"},"os":"windows"}"#));
}

#[test]
fn labels_are_removed_one_by_one_or_all() {
    let labels = |pairs| env(pairs).into_iter().collect::<Annotations>();
    let before = r#"{"config":{"Labels":{"a":"1","b":"2"}}}"#;
    let set = ConfigChanges::default().labels(labels([("c", "3")]));
    let unset = ConfigChanges::default().unset_labels(texts(["a", "none"]));
    for (changes, after) in [
        (set.clone(), r#"{"config":{"Labels":{"a":"1","b":"2","c":"3"}}}"#),
        (set.replace_labels(true), r#"{"config":{"Labels":{"c":"3"}}}"#),
        (unset.clone(), r#"{"config":{"Labels":{"b":"2"}}}"#),
        (unset.labels(labels([("a", "")])), r#"{"config":{"Labels":{"a":"","b":"2"}}}"#),
        (ConfigChanges::default().unset_labels(texts(["a", "b"])), "{}"),
    ] {
        assert_eq!(changed(before, &changes).as_deref(), Ok(after));
    }
}

#[test]
fn a_field_that_is_not_known_must_be_set_to_be_cleared() {
    let cleared = |names: &[&str]| {
        let names = names.iter().map(|name| name.parse().expect("a field"));
        ConfigChanges::default().cleared(names.collect())
    };
    let before = r#"{"author":"a","config":{"Hostname":"h","Memory":1,"User":"u"},"docker_version":"1"}"#;
    let after = changed(before, &cleared(&["docker_version", "Hostname", "User", "author", "created", "Cmd"]));
    assert_eq!(after.as_deref(), Ok(r#"{"config":{"Memory":1}}"#));
    assert_eq!(changed(before, &cleared(&["config"])).as_deref(), Ok(r#"{"author":"a","docker_version":"1"}"#));
    assert_eq!(changed(before, &cleared(&["x"])), Err("the config has no field 'x'".to_owned()));
    assert_eq!(changed("{}", &cleared(&["x"])), Err("the config has no field 'x'".to_owned()));
}

#[test]
fn a_given_config_replaces_all_fields_but_those_of_the_layers() {
    let before = r#"{"architecture":"arm64","author":"a","config":{"User":"u"},"created":"c","history":[],"os":"linux","rootfs":{"diff_ids":[],"type":"layers"}}"#;
    let given =
        r#"{"os":"freebsd","config":{"Cmd":["x"],"Env":["A=1"]},"created":"d","history":[{}],"rootfs":1,"y":1.50}"#;
    let changes = ConfigChanges::default().given(fields(given)).process(process().env(env([("A", "2")])));
    let after = r#"{"architecture":"arm64","config":{"Cmd":["x"],"Env":["A=2"]},"created":"c","history":[],"os":"freebsd","rootfs":{"diff_ids":[],"type":"layers"},"y":1.50}"#;
    let before = before.replace(r#""c""#, r#""2026-03-08T00:00:00Z""#);
    let after = after.replace(r#""c""#, r#""2026-03-08T00:00:00Z""#);
    assert_eq!(changed(&before, &changes), Ok(after));
    let changes = ConfigChanges::default().given(fields(r#"{"config":{"Cmd":"x"}}"#));
    let error = "the given config is not valid: config.Cmd is 'x', not an array";
    assert_eq!(changed(&before, &changes), Err(error.to_owned()));
}

#[test]
fn the_history_has_an_entry_for_each_layer_before_those_of_texts() {
    const ROOTFS: &str = r#""rootfs":{"diff_ids":["sha256:0000000000000000000000000000000000000000000000000000000000000000","sha256:1111111111111111111111111111111111111111111111111111111111111111"],"type":"layers"}"#;
    let config = |created: &str, history: &str| fields(&format!(r#"{{{created}{history}{ROOTFS}}}"#)).to_string();
    let added = ConfigChanges::default().history(texts(["a"]));
    let new = r#"{"created":"T","created_by":"a","empty_layer":true}"#;
    let epoch = "1970-01-01T00:00:00Z";
    let steps = r#"{"created":"T","created_by":"one"},{"created":"T","created_by":"two"}"#;
    let (set, old) = (r#""created":"2026-03-08T00:00:00Z","#, r#"{"comment":"x"},{"empty_layer":true},{}"#);
    for (created, history, after) in [
        ("", String::new(), format!("{steps},{new}").replace('T', epoch)),
        (set, String::new(), format!("{steps},{new}").replace('T', "2026-03-08T00:00:00Z")),
        (set, format!(r#""history":[{old}],"#), format!("{old},{new}").replace('T', "2026-03-08T00:00:00Z")),
        (
            set,
            r#""history":[{"created_by":"x"}],"#.to_owned(),
            format!(r#"{{"created_by":"x"}},{{"created":"T"}},{new}"#).replace('T', "2026-03-08T00:00:00Z"),
        ),
        (set, r#""history":null,"#.to_owned(), format!("{steps},{new}").replace('T', "2026-03-08T00:00:00Z")),
    ] {
        let created_after = if created.is_empty() { format!(r#""created":"{epoch}","#) } else { created.to_owned() };
        let after = config(&created_after, &format!(r#""history":[{after}],"#));
        assert_eq!(changed(&config(created, &history), &added), Ok(after));
    }
    let long = config("", r#""history":[{},{},{}],"#);
    let error = "the history has 3 entries of layers, but the image has 2";
    assert_eq!(changed(&long, &added), Err(error.to_owned()));
    assert_eq!(changed(&long, &ConfigChanges::default()), Ok(long.clone()));
    let dropped = ConfigChanges::default().drop_history(true);
    assert_eq!(changed(&long, &dropped), Ok(config("", "")));
    assert_eq!(
        changed(&long, &dropped.history(texts(["a"]))),
        Ok(config(
            &format!(r#""created":"{epoch}","#),
            &format!(r#""history":[{}],"#, format!("{steps},{new}").replace('T', epoch))
        ))
    );
}

#[test]
fn a_field_of_another_type_is_named() {
    for (config, changes, error) in [
        ("1", ConfigChanges::default(), "config is not an object"),
        (
            r#"{"Env":{}}"#,
            ConfigChanges::default().process(process().env(env([("A", "")]))),
            "config.Env is not an array of strings",
        ),
        (r#"{"Volumes":[]}"#, ConfigChanges::default(), "config.Volumes is not an object"),
        (r#"{"Labels":[]}"#, ConfigChanges::default().unset_labels(texts(["a"])), "config.Labels is not an object"),
    ] {
        let changed = changed(&format!(r#"{{"config":{config}}}"#), &changes);
        assert_eq!(changed, Err(format!("the manifest is not valid: {error}")));
    }
}
