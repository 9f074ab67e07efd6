//! Setters for option structs. Each option struct is `#[non_exhaustive]`, implements `Default` and is filled by
//! setters.

/// Defines setters with the names of the fields of an option struct. With `into` a setter takes any value that converts
/// into the type; with `option`, the inner value of an `Option`; with `some`, any value that converts into that inner
/// value.
macro_rules! setters {
    (@one $field:ident $type:ty) => {
        #[doc = concat!("Sets [`", stringify!($field), "`](#structfield.", stringify!($field), ").")]
        #[must_use]
        pub fn $field(mut self, $field: $type) -> Self {
            self.$field = $field;
            self
        }
    };
    (@one $field:ident into $type:ty) => {
        #[doc = concat!("Sets [`", stringify!($field), "`](#structfield.", stringify!($field), ").")]
        #[must_use]
        pub fn $field(mut self, $field: impl Into<$type>) -> Self {
            self.$field = $field.into();
            self
        }
    };
    (@one $field:ident some $type:ty) => {
        #[doc = concat!("Sets [`", stringify!($field), "`](#structfield.", stringify!($field), ").")]
        #[must_use]
        pub fn $field(mut self, $field: impl Into<$type>) -> Self {
            self.$field = Some($field.into());
            self
        }
    };
    (@one $field:ident option $type:ty) => {
        #[doc = concat!("Sets [`", stringify!($field), "`](#structfield.", stringify!($field), ").")]
        #[must_use]
        pub fn $field(mut self, $field: $type) -> Self {
            self.$field = Some($field);
            self
        }
    };
    ($($field:ident: [$($type:tt)+],)+) => {
        $($crate::options::setters!(@one $field $($type)+);)+
    };
}
pub(crate) use setters;
