//! Setters of option structs, all alike: a struct of options is `#[non_exhaustive]`, has `Default`, and is made by setters.

/// Defines setters named like the fields of a struct of options. After `into` a setter takes any value that converts to
/// the type, after `option` the value of an option, after `some` any value that converts to that.
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
