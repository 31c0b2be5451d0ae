//! A complete manifest for one instance of a class, with what each key is for.

use serde::Serialize;
use serde_json::Value;

use super::kind::is_member_name;
use super::shape::{Field, Shape};
use super::template::Template;
use crate::class::ClassInfo;

/// The widest line of a comment, in characters.
const WIDTH: usize = 118;

/// Returns a manifest with one instance of this class: every key with its default and, in a comment, what it is for.
///
/// Loaded, it gives what `[asa.<name>] class = "..."` alone gives. A class whose own defaults are not TOML is shown
/// without parameters.
#[must_use]
pub fn defaults(class: &dyn ClassInfo) -> String {
    let Template { shape, defaults: mut values, .. } = Template::new(Some(class), &[class]);
    values["class"] = Value::from(class.name());
    let name = if is_member_name(class.name()) { class.name() } else { "one" };
    let mut text = String::new();
    comment(&mut text, &format!("Class {}, version {}", class.name(), class.version()));
    comment(&mut text, class.summary());
    text.push_str("#\n");
    comment(&mut text, "Every key is shown with its default, so each line but the class may go.");
    table(&mut text, &format!("asa.{name}"), "", &shape, &values);
    text
}

fn table(text: &mut String, header: &str, about: &str, shape: &Shape, values: &Value) {
    text.push('\n');
    comment(text, about);
    text.push_str(&format!("[{header}]\n"));
    let (tables, leaves): (Vec<&Field>, Vec<&Field>) =
        shape.children().iter().partition(|field| matches!(*field.shape, Shape::Table(_)));
    let mut last = "";
    for field in leaves {
        // Keys that share a comment stand together below it.
        if field.about != last {
            comment(text, &field.about);
        }
        last = &field.about;
        text.push_str(&format!("{} = {}\n", key(&field.name), value(&values[field.name.as_ref()])));
    }
    for field in tables {
        let header = format!("{header}.{}", key(&field.name));
        table(text, &header, &field.about, &field.shape, &values[field.name.as_ref()]);
    }
}

fn comment(text: &mut String, about: &str) {
    let mut line = String::new();
    for word in about.split_whitespace() {
        if !line.is_empty() && line.chars().count() + 1 + word.chars().count() > WIDTH {
            text.push_str(&format!("#{line}\n"));
            line.clear();
        }
        line.push(' ');
        line.push_str(word);
    }
    if !line.is_empty() {
        text.push_str(&format!("#{line}\n"));
    }
}

fn key(name: &str) -> String {
    let bare = !name.is_empty() && name.bytes().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'-'));
    if bare { name.to_owned() } else { value(&Value::from(name)) }
}

fn value(value: &Value) -> String {
    let mut text = String::new();
    // Only null has no place in TOML, and no default is null.
    let _ = value.serialize(toml::ser::ValueSerializer::new(&mut text));
    text
}
