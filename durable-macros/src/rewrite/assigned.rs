//! Which captured variables a closure assigns.
//!
//! The compiler refuses these too (a step's closure may run again, so it can't change what it captured), but can't say
//! why. What it alone can see, such as `list.push(…)`, is left to it.

use std::collections::BTreeSet;

use proc_macro2::Ident;
use syn::visit_mut::{VisitMut, visit_expr_mut, visit_pat_ident_mut};
use syn::{BinOp, Expr, ExprClosure, PatIdent};

use crate::paths::ungroup;

/// The assigned names that the closure does not bind itself.
///
/// A name that is bound anywhere in the closure counts as its own. Constants' spelling (`TOTAL`) is taken for a static,
/// which is outside of the function altogether.
pub(super) fn captured(closure: &ExprClosure) -> Vec<Ident> {
    let mut names = Names::default();
    names.visit_expr_closure_mut(&mut closure.clone());
    let Names { bound, assigned } = names;
    assigned.into_iter().filter(|name| !bound.contains(name) && !is_static(name)).collect()
}

#[derive(Default)]
struct Names {
    bound: BTreeSet<Ident>,
    assigned: Vec<Ident>,
}

impl Names {
    fn assign(&mut self, place: &Expr) {
        match ungroup(place) {
            Expr::Path(path) => self.assigned.extend(path.path.get_ident().cloned()),
            Expr::Field(field) => self.assign(&field.base),
            Expr::Index(index) => self.assign(&index.expr),
            Expr::Unary(unary) => self.assign(&unary.expr),
            Expr::Tuple(tuple) => tuple.elems.iter().for_each(|element| self.assign(element)),
            Expr::Array(array) => array.elems.iter().for_each(|element| self.assign(element)),
            _ => {}
        }
    }
}

// Nothing is mutated: this is the visitor that the crate's features already pay for.
impl VisitMut for Names {
    fn visit_pat_ident_mut(&mut self, pattern: &mut PatIdent) {
        self.bound.insert(pattern.ident.clone());
        visit_pat_ident_mut(self, pattern);
    }

    fn visit_expr_mut(&mut self, expression: &mut Expr) {
        match expression {
            Expr::Assign(assign) => self.assign(&assign.left),
            Expr::Binary(binary) if is_assignment(&binary.op) => self.assign(&binary.left),
            _ => {}
        }
        visit_expr_mut(self, expression);
    }
}

fn is_assignment(operator: &BinOp) -> bool {
    matches!(
        operator,
        BinOp::AddAssign(_)
            | BinOp::SubAssign(_)
            | BinOp::MulAssign(_)
            | BinOp::DivAssign(_)
            | BinOp::RemAssign(_)
            | BinOp::BitXorAssign(_)
            | BinOp::BitAndAssign(_)
            | BinOp::BitOrAssign(_)
            | BinOp::ShlAssign(_)
            | BinOp::ShrAssign(_)
    )
}

fn is_static(name: &Ident) -> bool {
    !name.to_string().chars().any(char::is_lowercase)
}

#[cfg(test)]
mod tests {
    use quote::quote;
    use syn::parse_quote;

    use super::*;

    #[test]
    fn assignments_to_the_outside_are_found_and_own_ones_are_not() {
        for (closure, names) in [
            (quote!(async || total = 1), &["total"][..]),
            (
                quote!(async move || {
                    total += fetch().await;
                }),
                &["total"],
            ),
            (
                quote!(|| async {
                    order.lines[0].price = 3;
                }),
                &["order"],
            ),
            (
                quote!(async || {
                    *total <<= 1;
                    (a, b) = pair();
                }),
                &["total", "a", "b"],
            ),
            (quote!(async || { if slow { tries += 1 } else { [a, _] = x } }), &["tries", "a"]),
            (
                quote!(async || {
                    let mut total = 0;
                    total += 1;
                    total
                }),
                &[],
            ),
            (
                quote!(async |step| {
                    step.x = 1;
                    for mut i in list {
                        i += 1
                    }
                }),
                &[],
            ),
            (
                quote!(async || {
                    COUNT += 1;
                    total == 1 && a <= b
                }),
                &[],
            ),
            (
                quote!(async || {
                    let (mut a, Some(mut b)) = x else { return };
                    a = b;
                    b = a;
                }),
                &[],
            ),
        ] {
            let parsed: ExprClosure = parse_quote!(#closure);
            let found: Vec<String> = captured(&parsed).iter().map(ToString::to_string).collect();
            assert_eq!(found, names, "{closure}");
        }
    }
}
