/// <reference types="@as-pect/assembly/types/as-pect" />
/// <reference types="@as-pect/assembly/types/as-pect.portable" />
