//! The OpenAPI 3.1 document, made of the routes and the types' schemas.

use utoipa::openapi::path::{HttpMethod, OperationBuilder, ParameterBuilder, ParameterIn};
use utoipa::openapi::request_body::RequestBodyBuilder;
use utoipa::openapi::schema::{ObjectBuilder, Schema};
use utoipa::openapi::security::{HttpAuthScheme, HttpBuilder, SecurityScheme};
use utoipa::openapi::{
    ComponentsBuilder, ContentBuilder, InfoBuilder, OpenApi, OpenApiBuilder, Paths, Ref, RefOr, Required,
    ResponseBuilder, SecurityRequirement,
};
use utoipa::{PartialSchema, ToSchema};

use crate::route::{Method, Route};
use crate::{Problem, schema, v1};

type Schemas = Vec<(String, RefOr<Schema>)>;

/// The document, as `openapi/netmaster-v1.json` has it.
pub fn document() -> OpenApi {
    let mut paths = Paths::new();
    for route in v1::routes() {
        paths.add_path_operation(route.path, vec![http_method(route.method)], operation(&route));
    }
    let bearer = SecurityScheme::Http(HttpBuilder::new().scheme(HttpAuthScheme::Bearer).build());
    let components = ComponentsBuilder::new().schemas_from_iter(schemas()).security_scheme("bearer", bearer);
    let info = InfoBuilder::new()
        .title("Selvage netmaster")
        .version("v1")
        .description(Some("Intent of a multi-tenant Open vSwitch fabric"));
    OpenApiBuilder::new().info(info).paths(paths).components(Some(components.build())).build()
}

fn http_method(method: Method) -> HttpMethod {
    match method {
        Method::Get => HttpMethod::Get,
        Method::Post => HttpMethod::Post,
        Method::Put => HttpMethod::Put,
        Method::Delete => HttpMethod::Delete,
    }
}

fn operation(route: &Route) -> OperationBuilder {
    let json = |name: &str| ContentBuilder::new().schema(Some(Ref::from_schema_name(name))).build();
    let mut operation = OperationBuilder::new()
        .operation_id(Some(route.call.operation()))
        .summary(Some(route.call.summary()));
    for name in route.parameters() {
        operation =
            operation.parameter(parameter(name, ParameterIn::Path, parameter_schema(name), Required::True));
    }
    for query in route.call.query() {
        let schema = query.schema();
        let query = parameter(query.name(), ParameterIn::Query, schema, Required::False)
            .description(Some(query.summary()));
        operation = operation.parameter(query);
    }
    if route.is_watchable() {
        let place = parameter(v1::watch::LAST_EVENT_ID, ParameterIn::Header, "EventId", Required::False);
        operation =
            operation.parameter(place.description(Some("With `watch`: the id of the last event seen")));
    }
    let writes = matches!(route.method, Method::Put | Method::Delete);
    if writes {
        let tag = parameter("If-Match", ParameterIn::Header, "Revision", Required::False);
        operation = operation.parameter(tag);
    }
    if let Some(body) = route.call.body() {
        let body =
            RequestBodyBuilder::new().content("application/json", json(&body)).required(Some(Required::True));
        operation = operation.request_body(Some(body.build()));
    }
    let success =
        ResponseBuilder::new().description(if route.call.reply().is_some() { "Done" } else { "Deleted" });
    let success = match route.call.reply() {
        Some(reply) => success.content("application/json", json(&reply)),
        None => success,
    };
    let success = if route.is_watchable() {
        success.content(v1::watch::MEDIA_TYPE, json("EventStream"))
    } else {
        success
    };
    let problem = ResponseBuilder::new()
        .description("Refused or failed; `code` says what")
        .content("application/problem+json", json("Problem"));
    operation = operation.response("2XX", success.build()).response("default", problem.build());
    if route.public {
        operation
    } else {
        operation.security(SecurityRequirement::new("bearer", Vec::<String>::new()))
    }
}

fn parameter(name: &str, place: ParameterIn, schema: &str, required: Required) -> ParameterBuilder {
    let reference = RefOr::Ref(Ref::from_schema_name(schema));
    ParameterBuilder::new().name(name).parameter_in(place).required(required).schema(Some(reference))
}

fn parameter_schema(name: &str) -> &'static str {
    match name {
        "node" => "NodeName",
        "endpoint" => "EndpointName",
        _ => "Name",
    }
}

fn add<T: ToSchema>(schemas: &mut Schemas) {
    schemas.push((T::name().into_owned(), T::schema()));
    T::schemas(schemas);
}

fn list<T: ToSchema>(schemas: &mut Schemas) {
    add::<T>(schemas);
    schemas.push((format!("{}List", T::name()), v1::List::<T>::schema()));
}

fn schemas() -> Schemas {
    let mut all = Schemas::new();
    list::<v1::Tenant>(&mut all);
    list::<v1::Network>(&mut all);
    list::<v1::Policy>(&mut all);
    list::<v1::Group>(&mut all);
    list::<v1::Endpoint>(&mut all);
    list::<v1::Node>(&mut all);
    add::<v1::ApplyBody>(&mut all);
    add::<v1::Apply>(&mut all);
    add::<v1::JoinFile>(&mut all);
    add::<v1::Status>(&mut all);
    add::<v1::Health>(&mut all);
    add::<v1::Version>(&mut all);
    add::<Problem>(&mut all);
    add::<schema::Cidr>(&mut all);
    add::<schema::Revision>(&mut all);
    add::<schema::EndpointName>(&mut all);
    add::<schema::Limit>(&mut all);
    add::<schema::Continue>(&mut all);
    add::<schema::Flag>(&mut all);
    add::<schema::EventId>(&mut all);
    add::<schema::EventStream>(&mut all);
    add::<v1::Bookmark>(&mut all);
    let anything = ObjectBuilder::new().description(Some("An OpenAPI 3.1 document")).build();
    all.push(("OpenApi".to_owned(), RefOr::T(anything.into())));
    all
}
