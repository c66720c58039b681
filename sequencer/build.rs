//! `sqlx::migrate!` embeds the SQL at build time; cargo has to know about files added there.

fn main() {
    println!("cargo:rerun-if-changed=../migrations");
}
