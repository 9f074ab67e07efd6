//! Edits of images that are refused with nothing changed: layers that do not fit the config.

use serde_json::Value;

use crate::registry::*;
use crate::support::*;

/// Such a config does not say which diff_id belongs to a layer.
#[test]
fn layers_that_do_not_fit_the_diff_ids_are_neither_removed_nor_moved() {
    let sandbox = Sandbox::new();
    let layers: Vec<Value> = (1..4).map(|blocks| blob(&sandbox, TAR_TYPE, &"\0".repeat(1024 * blocks))).collect();
    let layers: Vec<&Value> = layers.iter().collect();
    for count in [2, 0, 1, 4] {
        let diff_ids: Vec<&Value> = layers.iter().copied().cycle().take(count).collect();
        let config = config_of(&sandbox, "amd64", &diff_ids);
        list(&sandbox, &[&named(&document(&sandbox, &manifest(&config, &layers)), "v1")]);
        for words in [
            "remove layer image:v1 --index 2",
            "remove layer image:v1 --index 0",
            "move layer image:v1 --index 2 --to 0",
            "move layer image:v1 --index 0 --to 2",
        ] {
            let before = sandbox.contents();
            let refused = sandbox.run(words);
            let message =
                format!("Error: {} is not a valid image config: its diff_ids do not fit the layers\n", digest(&config));
            refused.is(1, "", message);
            assert_eq!(sandbox.contents(), before, "{count}: {words}");
        }
    }
}
