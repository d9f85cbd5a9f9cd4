/* What gaussian.inc.h stands on: vectors of double and their elementary functions; after a vec_*.h. */
#include "../common.inc.h"
#define COMPUTE_IN_DOUBLE
#include "../compute_type.h"
#include "../math.inc.h"
#include "gaussian.inc.h"
#include "../compute_type_end.h"
#undef COMPUTE_IN_DOUBLE
