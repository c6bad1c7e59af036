#include "trust/constraints.h"

#include <openssl/err.h>
#include <openssl/x509v3.h>
#include <stdlib.h>

#include "base/log.h"
#include "trust/hostname.h"

struct constraints {
    NAME_CONSTRAINTS *subtrees; // NULL: none
};

static struct constraints *new_constraints(NAME_CONSTRAINTS *subtrees)
{
    struct constraints *constraints = calloc(1, sizeof *constraints);

    if (!constraints)
        abort();
    constraints->subtrees = subtrees;
    return constraints;
}

void constraints_free(struct constraints **constraints)
{
    if (*constraints) {
        NAME_CONSTRAINTS_free((*constraints)->subtrees);
        free(*constraints);
    }
    *constraints = NULL;
}

/* ---- reading ---- */

static struct span base_of(const GENERAL_SUBTREE *subtree)
{
    const ASN1_STRING *base =
        subtree->base->type == GEN_DNS ? subtree->base->d.dNSName : subtree->base->d.iPAddress;

    return span_of((const char *)ASN1_STRING_get0_data(base), (size_t)ASN1_STRING_length(base));
}

static void exclude(NAME_CONSTRAINTS *to, struct span domain)
{
    GENERAL_SUBTREE *subtree = GENERAL_SUBTREE_new();
    ASN1_IA5STRING *name = ASN1_IA5STRING_new();

    if (!subtree || !name || !ASN1_STRING_set(name, domain.at, (int)domain.size) ||
        (!to->excludedSubtrees && !(to->excludedSubtrees = sk_GENERAL_SUBTREE_new_null())) ||
        !sk_GENERAL_SUBTREE_push(to->excludedSubtrees, subtree))
        abort();
    GENERAL_NAME_set0_value(subtree->base, GEN_DNS, name);
}

static bool is_excluded_already(const NAME_CONSTRAINTS *in, struct span domain)
{
    for (int i = 0; i < sk_GENERAL_SUBTREE_num(in->excludedSubtrees); i++)
        if (span_equal(base_of(sk_GENERAL_SUBTREE_value(in->excludedSubtrees, i)), domain))
            return true;
    return false;
}

static enum error_kind read_line(NAME_CONSTRAINTS *to, struct span line, unsigned number,
                                 struct error *error)
{
    char name[HOSTNAME_BYTES], shown[64];

    line = span_slice(line, 0, span_find_byte(line, '#'));
    if (line.size && line.at[line.size - 1] == '\r')
        line.size--;
    line = span_trim(line);
    if (line.size == 0)
        return ERROR_NONE;
    if (hostname_read(name, line) != HOSTNAME_NAME)
        return error_set(error, ERROR_SYNTAX, "line %u: \"%s\" is no domain", number,
                         log_text(shown, sizeof shown, line));
    if (is_excluded_already(to, span_text(name)))
        return ERROR_NONE;
    if (sk_GENERAL_SUBTREE_num(to->excludedSubtrees) >= CONSTRAINTS)
        return error_set(error, ERROR_LIMIT, "line %u: more than %d domains", number, CONSTRAINTS);
    exclude(to, span_text(name));
    return ERROR_NONE;
}

enum error_kind constraints_read(struct constraints **out, struct span list, struct error *error)
{
    NAME_CONSTRAINTS *subtrees = NAME_CONSTRAINTS_new();
    enum error_kind kind = ERROR_NONE;
    unsigned number = 0;

    if (!subtrees)
        abort();
    while (list.size && !kind) {
        size_t size = span_find_byte(list, '\n');

        kind = read_line(subtrees, span_slice(list, 0, size), ++number, error);
        list = span_from(list, size < list.size ? size + 1 : size);
    }
    if (!kind && ASN1_item_i2d((ASN1_VALUE *)subtrees, NULL, ASN1_ITEM_rptr(NAME_CONSTRAINTS)) >
                     CONSTRAINTS_BYTES)
        kind = error_set(error, ERROR_LIMIT, "the domains make more than %d bytes of constraints",
                         CONSTRAINTS_BYTES);
    if (kind || !subtrees->excludedSubtrees) {
        NAME_CONSTRAINTS_free(subtrees);
        subtrees = NULL;
    }
    if (!kind)
        *out = new_constraints(subtrees);
    return kind;
}

/* Subtrees with a minimum or maximum are not in use (RFC 5280 forbids them). */
static bool are_usual(const STACK_OF(GENERAL_SUBTREE) *subtrees)
{
    for (int i = 0; i < sk_GENERAL_SUBTREE_num(subtrees); i++) {
        const GENERAL_SUBTREE *subtree = sk_GENERAL_SUBTREE_value(subtrees, i);

        if ((subtree->minimum && ASN1_INTEGER_get(subtree->minimum) != 0) || subtree->maximum)
            return false;
    }
    return true;
}

enum error_kind constraints_of(struct constraints **out, const X509 *certificate,
                               struct error *error)
{
    int critical = 0;
    NAME_CONSTRAINTS *subtrees =
        X509_get_ext_d2i(certificate, NID_name_constraints, &critical, NULL);

    ERR_clear_error();
    if (!subtrees && critical != -1)
        return error_set(error, ERROR_CORRUPT, "the certificate's name constraints are damaged");
    if (subtrees &&
        (!are_usual(subtrees->permittedSubtrees) || !are_usual(subtrees->excludedSubtrees))) {
        NAME_CONSTRAINTS_free(subtrees);
        return error_set(error, ERROR_UNSUPPORTED, "the certificate has odd name constraints");
    }
    *out = new_constraints(subtrees);
    return ERROR_NONE;
}

size_t constraints_count(const struct constraints *constraints)
{
    const NAME_CONSTRAINTS *subtrees = constraints ? constraints->subtrees : NULL;
    int permitted = subtrees ? sk_GENERAL_SUBTREE_num(subtrees->permittedSubtrees) : 0;
    int excluded = subtrees ? sk_GENERAL_SUBTREE_num(subtrees->excludedSubtrees) : 0;

    return (size_t)(permitted > 0 ? permitted : 0) + (size_t)(excluded > 0 ? excluded : 0);
}

void constraints_put(const struct constraints *constraints, X509 *certificate)
{
    if (constraints->subtrees &&
        X509_add1_ext_i2d(certificate, NID_name_constraints, constraints->subtrees, 1,
                          X509V3_ADD_DEFAULT) != 1)
        abort();
}

/* ---- asking ---- */

/* At the base or below it. Some write the base with a dot before it. */
static bool is_below(struct span name, struct span base)
{
    if (base.size && base.at[0] == '.')
        base = span_from(base, 1);
    if (base.size == 0)
        return true;
    return span_ends_nocase(name, base) &&
           (name.size == base.size || name.at[name.size - base.size - 1] == '.');
}

static bool covers_excluded(struct span name, struct span base)
{
    if (!span_starts(name, SPAN("*.")))
        return is_below(name, base);
    // The wildcard stands for the first label of the base, or the base is above.
    if (base.size && base.at[0] == '.')
        base = span_from(base, 1);
    return is_below(span_from(name, 2), base) ||
           span_equal_nocase(span_from(name, 1), span_from(base, span_find_byte(base, '.')));
}

static bool is_permitted_name(struct span name, struct span base)
{
    return is_below(span_starts(name, SPAN("*.")) ? span_from(name, 2) : name, base);
}

static bool is_in_block(struct span address, struct span block)
{
    if (block.size != 2 * address.size)
        return false;
    for (size_t i = 0; i < address.size; i++)
        if ((address.at[i] ^ block.at[i]) & block.at[address.size + i])
            return false;
    return true;
}

/* Does some subtree of that type match? *any says whether there is one of that type at all. */
static bool matches(const STACK_OF(GENERAL_SUBTREE) *subtrees, int type, struct span name,
                    bool (*match)(struct span name, struct span base), bool *any)
{
    bool found = false;

    *any = false;
    for (int i = 0; i < sk_GENERAL_SUBTREE_num(subtrees); i++) {
        const GENERAL_SUBTREE *subtree = sk_GENERAL_SUBTREE_value(subtrees, i);

        if (subtree->base->type != type)
            continue;
        *any = true;
        found = found || match(name, base_of(subtree));
    }
    return found;
}

bool constraints_allow_name(const struct constraints *constraints, struct span name)
{
    const NAME_CONSTRAINTS *subtrees = constraints ? constraints->subtrees : NULL;
    bool any;

    if (!subtrees)
        return true;
    if (matches(subtrees->excludedSubtrees, GEN_DNS, name, covers_excluded, &any))
        return false;
    return matches(subtrees->permittedSubtrees, GEN_DNS, name, is_permitted_name, &any) || !any;
}

bool constraints_allow_address(const struct constraints *constraints, struct span address)
{
    const NAME_CONSTRAINTS *subtrees = constraints ? constraints->subtrees : NULL;
    bool any;

    if (!subtrees)
        return true;
    if (matches(subtrees->excludedSubtrees, GEN_IPADD, address, is_in_block, &any))
        return false;
    return matches(subtrees->permittedSubtrees, GEN_IPADD, address, is_in_block, &any) || !any;
}

static bool has_directory_names(const STACK_OF(GENERAL_SUBTREE) *subtrees)
{
    for (int i = 0; i < sk_GENERAL_SUBTREE_num(subtrees); i++)
        if (sk_GENERAL_SUBTREE_value(subtrees, i)->base->type == GEN_DIRNAME)
            return true;
    return false;
}

bool constraints_limit_subjects(const struct constraints *constraints)
{
    const NAME_CONSTRAINTS *subtrees = constraints ? constraints->subtrees : NULL;

    return subtrees && (has_directory_names(subtrees->permittedSubtrees) ||
                        has_directory_names(subtrees->excludedSubtrees));
}
